// SPDX-License-Identifier: Apache-2.0
// Text to ids and back: the pre-tokeniser splits text into pieces, and byte-pair encoding makes tokens of each. Special
// tokens are recognised only on request.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <llamavision/support/error.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/bpe.hpp>
#include <llamavision/tokens/meta_cuts.hpp>
#include <llamavision/tokens/pretokenize.hpp>
#include <llamavision/tokens/token.hpp>
#include <llamavision/tokens/tokenizer_contents.hpp>
#include <llamavision/tokens/unicode.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens {

/// What becomes of text that looks like a special token.
enum class special_text {
    as_text,   ///< ordinary tokens: a user who writes `<|eot_id|>` does not end the turn (Meta's default)
    recognised ///< the special token (what Hugging Face's tokenizer does)
};

/// Whether long texts are cut before they are encoded.
enum class text_cuts {
    none,   ///< Hugging Face's tokenizer
    as_meta ///< Meta's encode(): every 400 000 characters, and in runs of more than 25 000 that are all white space, or
            ///< all not
};

/// A tokenizer of Llama 3's kind, of any vocabulary size. With n ordinary tokens, the special tokens begin at n, and
/// the image's id at the model's input is n + 256. Copies share immutable tables: cheap to copy, safe to use from
/// several threads.
class tokenizer {
  public:
    /// From a tokenizer.model, a tokenizer.json, or a checkpoint's folder. @throws file_error, format_error
    static tokenizer open(std::filesystem::path const& path);

    /// @throws format_error, naming `file`, if one of the special tokens that a conversation needs is missing
    tokenizer(tokenizer_contents contents, std::string const& file)
        : t_(std::make_shared<tables const>(std::move(contents), file)) {}

    /// The ids of `text`. Each maximal invalid prefix of a UTF-8 character counts as U+FFFD. Takes O(n log m) time for
    /// n bytes and a longest piece of m. No <|begin_of_text|> is added. Added tokens that are not special are words,
    /// found everywhere.
    std::vector<token> encode(std::string_view text, special_text specials = special_text::as_text,
                              text_cuts cuts = text_cuts::none) const {
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

    /// The text of `ids`, invalid bytes replaced as in encode(). Special tokens give their names, or nothing if they
    /// are skipped. @throws token_error for an id that is not in the vocabulary
    std::string decode(std::span<token const> ids, bool skip_special = false) const {
        std::string text;
        for (auto const id : ids)
            if (!(skip_special && is_special(id))) text += bytes(id);
        return valid_prefix(text) == text.size() ? text : repaired(text);
    }

    /// The bytes of one id (possibly part of a character), valid as long as a copy of the tokenizer lives.
    /// @throws token_error for an id that is not in the vocabulary
    std::string_view bytes(token id) const {
        if (id >= 0 && id < ordinary()) return t_->vocabulary[static_cast<vocabulary::rank>(id)];
        if (auto const name = t_->added.names().name(id)) return *name;
        if (id == image()) return "<|image|>";
        throw token_error("token " + std::to_string(id) + " is not in the vocabulary of " + std::to_string(size())
                          + " tokens");
    }

    /// Whether bytes() has something for the id.
    bool contains(token id) const {
        return (id >= 0 && id < ordinary()) || id == image() || t_->added.names().name(id).has_value();
    }

    /// The id of a special token by name. It is n + 11 for `<|image|>` in Meta's file; the model's input takes image().
    std::optional<token> special(std::string_view name) const { return t_->specials.find(name); }

    /// The first special token in `text` from byte `from` on; its length is 0 if there is none.
    special_tokens::match next_special(std::string_view text, std::size_t from) const {
        return t_->specials.next(text, from);
    }

    /// Whether the id is a special token's, image() included.
    bool is_special(token id) const { return id == image() || t_->specials.name(id).has_value(); }

    token bos() const { return t_->bos; }                   ///< <|begin_of_text|>
    token end_of_text() const { return t_->end_of_text; }   ///< <|end_of_text|>
    token eot() const { return t_->eot; }                   ///< <|eot_id|>, the end of a turn
    token eom() const { return t_->eom; }                   ///< <|eom_id|>, the end of a message that awaits a tool
    token start_header() const { return t_->start_header; } ///< <|start_header_id|>
    token end_header() const { return t_->end_header; }     ///< <|end_header_id|>
    token python_tag() const { return t_->python_tag; }     ///< <|python_tag|>
    token pad() const { return t_->pad; }                   ///< <|finetune_right_pad_id|>

    /// The image's id at the model's input, n + 256 (128256): the first row of the embeddings beyond the vocabulary.
    token image() const { return ordinary() + 256; }

    /// Ids of an image, here and in Meta's tokenizer, n + 256 and n + 11: a model must not generate them.
    std::vector<token> image_like() const { return {ordinary() + 11, image()}; }

    /// Number of ordinary tokens, n.
    token ordinary() const { return static_cast<token>(t_->vocabulary.size()); }

    /// One more than the highest id that can be decoded: n + 257, or more if the file adds tokens.
    std::size_t size() const {
        auto const last = t_->added.names().names().rbegin()->first;
        return static_cast<std::size_t>(std::max(last, image())) + 1;
    }

    tokenizer_kind kind() const { return t_->kind; }

  private:
    struct tables : tokenizer_contents {
        tables(tokenizer_contents contents, std::string const& file) : tokenizer_contents(std::move(contents)) {
            auto const id = [&](std::string_view name) {
                if (auto const found = specials.find(name)) return *found;
                throw format_error(file + ": no special token " + std::string(name));
            };
            bos = id("<|begin_of_text|>");
            end_of_text = id("<|end_of_text|>");
            pad = id("<|finetune_right_pad_id|>");
            start_header = id("<|start_header_id|>");
            end_header = id("<|end_header_id|>");
            eom = id("<|eom_id|>");
            eot = id("<|eot_id|>");
            python_tag = id("<|python_tag|>");
        }
        token bos, end_of_text, pad, start_header, end_header, eom, eot, python_tag;
    };
    std::shared_ptr<tables const> t_;
};

/// Text from ids one at a time, for streaming: returns text that is complete UTF-8, and holds back the beginning of a
/// character until the rest of it comes.
class stream_decoder {
  public:
    explicit stream_decoder(llamavision::tokens::tokenizer tokenizer, bool skip_special = false)
        : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

    /// The text that `id` completes. Bytes that cannot become a character give U+FFFD as soon as that is certain.
    std::string push(token id) {
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

    /// What is left at the end of the stream: U+FFFD if it ends inside a character, else nothing.
    std::string finish() { return repaired(std::exchange(pending_, {})); }

  private:
    tokenizer tokenizer_;
    bool skip_special_;
    std::string pending_;
};

} // namespace llamavision::tokens

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/tokens/tokenizer.ipp>
#endif
