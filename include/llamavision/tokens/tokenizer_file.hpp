// SPDX-License-Identifier: Apache-2.0
// The two files that hold a tokenizer: Meta's tokenizer.model (tiktoken's format: on each line a base64 string and its
// rank) and Hugging Face's tokenizer.json. Both give a vocabulary and special tokens.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/misplaced_file.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>
#include <llamavision/tokens/added_tokens.hpp>
#include <llamavision/tokens/byte_alphabet.hpp>
#include <llamavision/tokens/merges.hpp>
#include <llamavision/tokens/pretokenize.hpp>
#include <llamavision/tokens/special_tokens.hpp>
#include <llamavision/tokens/tokenizer_contents.hpp>
#include <llamavision/tokens/vocabulary.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace llamavision::tokens {

namespace detail {

constexpr std::size_t largest_tokenizer_file = std::size_t{256} << 20; // real ones have 2 and 17 MB

// Sorts strings by rank, and checks that the ranks are 0 … n−1, each once.
class rank_order {
  public:
    explicit rank_order(std::string file) : file_(std::move(file)) {}

    void add(std::string_view token_bytes, std::uint64_t rank) {
        if (bytes_.size() + token_bytes.size() > std::numeric_limits<std::uint32_t>::max())
            throw format_error(file_ + ": more than 4 GB of tokens");
        auto const begin = static_cast<std::uint32_t>(bytes_.size());
        bytes_ += token_bytes;
        spans_.push_back({rank, begin, static_cast<std::uint32_t>(bytes_.size())});
    }

    vocabulary finish() && {
        std::string ordered;
        ordered.reserve(bytes_.size());
        std::vector<span const*> at(spans_.size(), nullptr);
        for (auto const& s : spans_) {
            auto const name = std::to_string(s.rank);
            if (s.rank >= spans_.size())
                throw format_error(file_ + ": rank " + name + ", but there are only " + std::to_string(spans_.size())
                                   + " tokens: rank " + std::to_string(first_missing()) + " is missing");
            if (at[static_cast<std::size_t>(s.rank)]) throw format_error(file_ + ": rank " + name + " occurs twice");
            at[static_cast<std::size_t>(s.rank)] = &s;
        }
        std::vector<std::uint32_t> ends;
        ends.reserve(at.size());
        for (auto const* s : at) { // all set: n distinct ranks below n
            ordered.append(bytes_, s->begin, s->end - s->begin);
            ends.push_back(static_cast<std::uint32_t>(ordered.size()));
        }
        return {std::move(ordered), std::move(ends), file_};
    }

  private:
    struct span {
        std::uint64_t rank;
        std::uint32_t begin, end;
    };

    std::uint64_t first_missing() const {
        std::vector<bool> present(spans_.size() + 1);
        for (auto const& s : spans_)
            if (s.rank < present.size()) present[static_cast<std::size_t>(s.rank)] = true;
        return static_cast<std::uint64_t>(std::find(present.begin(), present.end(), false) - present.begin());
    }

    std::string file_;
    std::string bytes_;
    std::vector<span> spans_;
};

// Appends the bytes that base64 text encodes; false if it is not canonical base64.
inline bool decode_base64(std::string_view text, std::string& out) {
    auto const sextet = [](char c) -> unsigned {
        if (c >= 'A' && c <= 'Z') return static_cast<unsigned>(c - 'A');
        if (c >= 'a' && c <= 'z') return static_cast<unsigned>(c - 'a') + 26;
        if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0') + 52;
        return c == '+' ? 62 : c == '/' ? 63 : 64;
    };
    if (text.empty() || text.size() % 4 != 0) return false;
    std::size_t const padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    unsigned bits = 0, count = 0;
    for (char const c : text.substr(0, text.size() - padding)) {
        auto const value = sextet(c);
        if (value > 63) return false;
        bits = (bits << 6 | value) & 0xFFFu;
        if ((count += 6) < 8) continue;
        count -= 8;
        out.push_back(static_cast<char>(static_cast<unsigned char>(bits >> count)));
    }
    return (bits & ((1u << count) - 1)) == 0; // the bits that are left over must be zero
}

inline tokenizer_contents read_tiktoken(std::string_view text, std::string const& file) {
    rank_order ranks(file);
    std::string bytes;
    std::size_t number = 0, count = 0;
    for (std::size_t at = 0; at < text.size();) {
        auto const end = std::min(text.find('\n', at), text.size());
        auto line = text.substr(at, end - at);
        at = end + 1;
        ++number;
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty()) continue;
        auto const where = [&] { return file + ", line " + std::to_string(number); };
        auto const space = std::min(line.find(' '), line.size());
        bytes.clear();
        if (!decode_base64(line.substr(0, space), bytes)) throw format_error(where() + ": no base64 string");
        std::uint64_t rank = 0;
        auto const digits = line.substr(std::min(space + 1, line.size()));
        auto const [stop, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
        if (failure != std::errc{} || stop != digits.data() + digits.size())
            throw format_error(where() + ": no rank after the base64 string");
        ranks.add(bytes, rank);
        ++count;
    }
    if (count == 0) throw format_error(file + ": no tokens in it");
    if (count > std::numeric_limits<token>::max() / 2) throw format_error(file + ": too many tokens");
    std::vector<added_token> added;
    auto id = static_cast<token>(count);
    for (auto const& name : meta_special_names()) added.push_back({name, id++});
    return {tokenizer_kind::meta, std::move(ranks).finish(), specials_of(added, file), {added, file}};
}

// The member `key` of an object, or null.
inline nlohmann::json const& member(nlohmann::json const& object, char const* key) {
    static nlohmann::json const null;
    if (!object.is_object()) return null;
    auto const found = object.find(key);
    return found == object.end() ? null : *found;
}

// Whether a member is absent, null or one of `values`.
inline bool is_any(nlohmann::json const& value, std::initializer_list<nlohmann::json> values) {
    return value.is_null() || std::find(values.begin(), values.end(), value) != values.end();
}

// The type of a step of the pipeline, for errors.
inline std::string step_name(nlohmann::json const& step) {
    auto const& type = member(step, "type");
    return type.is_string() ? in_quotes(type.get_ref<std::string const&>()) : std::string("a step without a type");
}

// The steps of a part of the pipeline, which is one step or a Sequence of them.
inline std::vector<nlohmann::json const*> steps_of(nlohmann::json const& part, char const* list) {
    std::vector<nlohmann::json const*> steps;
    if (part.is_null()) return steps;
    auto const& inner = member(part, list);
    if (member(part, "type") != "Sequence" || !inner.is_array()) return {&part};
    for (auto const& step : inner) steps.push_back(&step);
    return steps;
}

inline void check_pre_tokenizer(nlohmann::json const& part, std::string const& file) {
    auto const steps = steps_of(part, "pretokenizers");
    std::string const place = file + ": pre_tokenizer: ";
    auto const splits = [](nlohmann::json const& step) {
        return member(step, "type") == "Split" && member(member(step, "pattern"), "Regex") == llama3_pattern
               && is_any(member(step, "behavior"), {"Isolated"}) && is_any(member(step, "invert"), {false});
    };
    auto const is_bytes = [](nlohmann::json const& step) { return member(step, "type") == "ByteLevel"; };
    if (steps.empty() || !splits(*steps[0]))
        throw format_error(place + (steps.empty() ? "no step" : step_name(*steps[0]))
                           + " does not split text as Llama 3 does");
    if (steps.size() < 2 || !is_bytes(*steps[1]))
        throw format_error(place + "no ByteLevel after the Split, so bytes outside of the vocabulary would be lost");
    if (member(*steps[1], "add_prefix_space") != false)
        throw format_error(place + "ByteLevel puts a space before texts (add_prefix_space), Llama 3 does not");
    if (member(*steps[1], "use_regex") != false)
        throw format_error(place + "ByteLevel splits text again (use_regex), Llama 3 does not");
    if (steps.size() > 2) throw format_error(place + step_name(*steps[2]) + " is a step that Llama 3 does not have");
}

// What is added to a whole text: at most <|begin_of_text|>, which a prompt has anyway.
inline void check_post_processor(nlohmann::json const& part, std::string const& file) {
    for (auto const* const step : steps_of(part, "processors")) {
        auto const& type = member(*step, "type");
        if (type == "ByteLevel") continue;
        bool known = type == "TemplateProcessing" && member(*step, "single").is_array();
        if (known)
            for (auto const& item : member(*step, "single")) {
                auto const& mark = member(item, "SpecialToken");
                known = known && (mark.is_null() || member(mark, "id") == "<|begin_of_text|>");
            }
        if (!known)
            throw format_error(file + ": post_processor: " + step_name(*step)
                               + " adds other tokens to a text than <|begin_of_text|>");
    }
}

// Only the part of Hugging Face's pipeline that Llama 3 uses is implemented: anything else is refused.
inline void check_pipeline(nlohmann::json const& root, std::string const& file) {
    auto const& model = member(root, "model");
    auto const& type = member(model, "type");
    if (!(type.is_null() ? member(model, "vocab").is_object() : type == "BPE"))
        throw format_error(file + ": the model is not byte-pair encoding");
    auto const refuse = [&](char const* key, std::initializer_list<nlohmann::json> fine, char const* what) {
        if (!is_any(member(model, key), fine))
            throw format_error(file + ": model." + key + " is not supported: " + what);
    };
    refuse("byte_fallback", {false}, "bytes are tokens of Llama 3's alphabet");
    refuse("dropout", {0.0}, "the same text would have other ids each time");
    refuse("continuing_subword_prefix", {""}, "Llama 3 has no prefix of parts of words");
    refuse("end_of_word_suffix", {""}, "Llama 3 has no end of words");
    if (auto const& part = member(root, "normalizer"); !steps_of(part, "normalizers").empty())
        throw format_error(file + ": it has a normalizer (" + step_name(*steps_of(part, "normalizers")[0])
                           + "), Llama 3 has none");
    check_pre_tokenizer(member(root, "pre_tokenizer"), file);
    check_post_processor(member(root, "post_processor"), file);
    for (auto const* const step : steps_of(member(root, "decoder"), "decoders"))
        if (member(*step, "type") != "ByteLevel")
            throw format_error(file + ": decoder: " + step_name(*step) + " is not supported, ByteLevel is");
}

// An entry of added_tokens. Where it says nothing, it is as Llama 3's own.
inline added_token read_added_token(nlohmann::json const& entry, std::string const& file) {
    auto const& name = member(entry, "content");
    auto const& id = member(entry, "id");
    if (!name.is_string() || !id.is_number_unsigned()
        || id.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<token>::max()))
        throw format_error(file + ": an entry of added_tokens has no content or no id");
    added_token result{name.get<std::string>(), id.get<token>()};
    for (auto const& [key, flag] :
         {std::pair("special", &added_token::special), std::pair("lstrip", &added_token::lstrip),
          std::pair("rstrip", &added_token::rstrip), std::pair("single_word", &added_token::single_word),
          std::pair("normalized", &added_token::normalized)}) {
        auto const& value = member(entry, key);
        if (!value.is_null() && !value.is_boolean())
            throw format_error(file + ": added token " + in_quotes(result.content) + ": " + key
                               + " is neither true nor false");
        if (value.is_boolean()) result.*flag = value.get<bool>();
    }
    result.special = result.special || is_mark(result.content);
    return result;
}

inline tokenizer_contents read_tokenizer_json(std::string_view text, std::string const& file) {
    auto const root = llamavision::parse_json(text, file, {.bytes = largest_tokenizer_file, .depth = 32});
    if (!root.is_object()) throw format_error(file + ": holds a JSON list, not the object that describes a tokenizer");
    for (char const* const key : {"model", "added_tokens", "pre_tokenizer"})
        if (member(root, key).is_null()) throw format_error(file + ": the key \"" + key + "\" is missing");
    check_pipeline(root, file);
    std::vector<added_token> added;
    if (!member(root, "added_tokens").is_array()) throw format_error(file + ": no added_tokens");
    for (auto const& entry : member(root, "added_tokens")) added.push_back(read_added_token(entry, file));
    special_tokens specials = specials_of(added, file);
    added_tokens all(added, file);
    // A word may have been in the vocabulary before it was added; a mark may be listed there, too, but is none of it.
    auto const first_mark = specials.find("<|begin_of_text|>");
    rank_order ranks(file);
    auto const& vocab = member(member(root, "model"), "vocab");
    if (!vocab.is_object() || vocab.empty()) throw format_error(file + ": no model.vocab");
    std::uint64_t count = 0;
    std::vector<token> both;
    for (auto const& [name, id] : vocab.items()) {
        if (!id.is_number_unsigned()) throw format_error(file + ": the id of \"" + name + "\" is not a number");
        auto const rank = id.get<std::uint64_t>();
        if (auto const own = all.names().find(name); own && static_cast<std::uint64_t>(*own) == rank) {
            if (all.all().at(*own).special || !first_mark || *own >= *first_mark) continue;
            both.push_back(*own);
        }
        ranks.add(bytes_of_token(name, file), rank);
        ++count;
    }
    for (auto const& [id, name] : all.names().names())
        if (static_cast<std::uint64_t>(id) < count && std::find(both.begin(), both.end(), id) == both.end())
            throw format_error(file + ": added token " + name + " has id " + std::to_string(id)
                               + ", which is an ordinary token's");
    tokenizer_contents read{tokenizer_kind::hugging_face, std::move(ranks).finish(), std::move(specials),
                            std::move(all)};
    auto const& model = member(root, "model");
    check_merges(member(model, "merges"), read.vocabulary, file, "model.merges");
    if (member(model, "ignore_merges") != true) check_reachable(read.vocabulary, file);
    return read;
}

// The file that a path means: itself, or in a folder the first of the usual places.
inline std::filesystem::path tokenizer_path(std::filesystem::path const& path) {
    std::error_code failure;
    if (!std::filesystem::is_directory(path, failure)) return path;
    for (char const* name : {"tokenizer.json", "tokenizer.model", "original/tokenizer.model"})
        if (has_entry(path / name)) return path / name;
    throw file_error(path.string() + ": neither tokenizer.json nor tokenizer.model nor original/tokenizer.model in it");
}

} // namespace detail

/// Reads the text of a tokenizer.model or a tokenizer.json; the first character tells which it is. `file` is named in
/// errors.
/// @throws format_error if it is not a tokenizer of Llama 3's kind
inline tokenizer_contents parse_tokenizer(std::string_view text, std::string const& file) {
    auto const begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string::npos) throw format_error(file + ": empty");
    if (auto const what = misplaced_file(text); !what.empty()) throw format_error(file + ": " + std::string(what));
    auto const visible = text.substr(begin);
    bool const json = visible.starts_with('{') || visible.starts_with('['); // neither begins a base64 string
    return json ? detail::read_tokenizer_json(text, file) : detail::read_tiktoken(text, file);
}

/// Reads such a file, or that of a checkpoint's folder.
/// @throws file_error if nothing can be read there, or the file is too large; format_error
inline tokenizer_contents read_tokenizer(std::filesystem::path const& where) {
    auto const path = detail::tokenizer_path(where);
    return parse_tokenizer(read_text_file(path, detail::largest_tokenizer_file), path.string());
}

} // namespace llamavision::tokens
