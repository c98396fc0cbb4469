// SPDX-License-Identifier: Apache-2.0
// A tokenizer's steps: repair of UTF-8, cuts at added tokens, pieces, byte pairs; and back.
#pragma once

#include <algorithm>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/bpe.hpp>
#include <llamavision/tokens/meta_cuts.hpp>
#include <llamavision/tokens/pretokenize.hpp>
#include <llamavision/tokens/tokenizer.hpp>
#include <llamavision/tokens/tokenizer_contents.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>
#include <llamavision/tokens/unicode.hpp>
#include <utility>

namespace llamavision::tokens {

LLAMAVISION_INLINE tokenizer tokenizer::open(std::filesystem::path const& path) {
    return tokenizer(read_tokenizer(path), path.string());
}

LLAMAVISION_INLINE tokenizer::tokenizer(tokenizer_contents contents, std::string const& file)
    : t_(std::make_shared<tokenizer_contents const>(std::move(contents))) {
    auto const id = [&](std::string_view name) {
        if (auto const found = t_->specials.find(name)) return *found;
        throw format_error(file + ": no special token " + std::string(name));
    };
    m_ = {.bos = id("<|begin_of_text|>"),
          .end_of_text = id("<|end_of_text|>"),
          .pad = id("<|finetune_right_pad_id|>"),
          .start_header = id("<|start_header_id|>"),
          .end_header = id("<|end_header_id|>"),
          .eom = id("<|eom_id|>"),
          .eot = id("<|eot_id|>"),
          .python_tag = id("<|python_tag|>"),
          .ordinary = static_cast<token>(t_->vocabulary.size())};
}

LLAMAVISION_INLINE std::vector<token> tokenizer::encode(std::string_view text, special_text specials,
                                                        text_cuts cuts) const {
    std::string storage;
    if (valid_prefix(text) < text.size()) text = storage = repaired(text);
    std::vector<token> ids;
    bpe pieces(t_->vocabulary);
    auto const on_text = [&](std::string_view some) {
        for_each_piece(some, [&](std::string_view p) { pieces.encode(p, ids); });
    };
    auto const on_part = [&](std::string_view some) {
        t_->added.cut(some, specials == special_text::recognised, on_text, [&](token id) { ids.push_back(id); });
    };
    if (cuts == text_cuts::as_meta)
        cut_as_meta(text, on_part);
    else
        on_part(text);
    return ids;
}

LLAMAVISION_INLINE std::string tokenizer::decode(std::span<token const> ids, bool skip_special) const {
    std::string text;
    for (auto const id : ids)
        if (!(skip_special && is_special(id))) text += bytes(id);
    return valid_prefix(text) == text.size() ? text : repaired(text);
}

LLAMAVISION_INLINE std::string_view tokenizer::bytes(token id) const {
    if (id >= 0 && id < ordinary()) return t_->vocabulary[static_cast<vocabulary::rank>(id)];
    if (auto const name = t_->added.names().name(id)) return *name;
    if (id == image()) return "<|image|>";
    throw token_error("token " + std::to_string(id) + " is not in the vocabulary of " + std::to_string(size())
                      + " tokens");
}

LLAMAVISION_INLINE bool tokenizer::contains(token id) const {
    return (id >= 0 && id < ordinary()) || id == image() || t_->added.names().name(id).has_value();
}

LLAMAVISION_INLINE std::optional<token> tokenizer::special(std::string_view name) const {
    return t_->specials.find(name);
}

LLAMAVISION_INLINE special_match tokenizer::next_special(std::string_view text, std::size_t from) const {
    return t_->specials.next(text, from);
}

LLAMAVISION_INLINE bool tokenizer::is_special(token id) const {
    return id == image() || t_->specials.name(id).has_value();
}

LLAMAVISION_INLINE bool tokenizer::takes_space_before(token id) const {
    auto const rule = t_->added.all().find(id);
    return rule != t_->added.all().end() && rule->second.lstrip;
}

LLAMAVISION_INLINE bool tokenizer::takes_space_after(token id) const {
    auto const rule = t_->added.all().find(id);
    return rule != t_->added.all().end() && rule->second.rstrip;
}

LLAMAVISION_INLINE std::size_t tokenizer::size() const {
    auto const last = t_->added.names().names().rbegin()->first;
    return static_cast<std::size_t>(std::max(last, image())) + 1;
}

LLAMAVISION_INLINE tokenizer_kind tokenizer::kind() const { return t_->kind; }

LLAMAVISION_INLINE std::string stream_decoder::push(token id) {
    if (!(skip_special_ && tokenizer_.is_special(id))) pending_ += tokenizer_.bytes(id);
    std::string text;
    std::size_t at = 0;
    while (at < pending_.size()) {
        auto const step = next_character(pending_, at);
        if (step.state == utf8_state::incomplete) break;
        text += step.state == utf8_state::valid ? std::string_view(pending_).substr(at, step.length)
                                                : replacement_character;
        at += step.length;
    }
    pending_.erase(0, at);
    return text;
}

LLAMAVISION_INLINE std::string stream_decoder::finish() { return repaired(std::exchange(pending_, {})); }

} // namespace llamavision::tokens
