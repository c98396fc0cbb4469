// SPDX-License-Identifier: Apache-2.0
// Text to ids and back: the pre-tokeniser splits text into pieces, and byte-pair encoding makes tokens of each. Special
// tokens are recognised only on request.
#pragma once

#include <cstddef>
#include <filesystem>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/token.hpp>
#include <llamavision/tokens/tokenizer_kind.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens {

struct tokenizer_contents;

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
    tokenizer(tokenizer_contents contents, std::string const& file);

    /// The ids of `text`. Each maximal invalid prefix of a UTF-8 character counts as U+FFFD. Takes O(n log m) time for
    /// n bytes and a longest piece of m. No <|begin_of_text|> is added. Added tokens that are not special are words,
    /// found everywhere.
    std::vector<token> encode(std::string_view text, special_text specials = special_text::as_text,
                              text_cuts cuts = text_cuts::none) const;

    /// The text of `ids`, invalid bytes replaced as in encode(). Special tokens give their names, or nothing if they
    /// are skipped. @throws token_error for an id that is not in the vocabulary
    std::string decode(std::span<token const> ids, bool skip_special = false) const;

    /// The bytes of one id (possibly part of a character), valid as long as a copy of the tokenizer lives.
    /// @throws token_error for an id that is not in the vocabulary
    std::string_view bytes(token id) const;

    /// Whether bytes() has something for the id.
    bool contains(token id) const;

    /// The id of a special token by name. It is n + 11 for `<|image|>` in Meta's file; the model's input takes image().
    std::optional<token> special(std::string_view name) const;

    /// The first special token in `text` from byte `from` on; its length is 0 if there is none.
    special_match next_special(std::string_view text, std::size_t from) const;

    /// Whether the id is a special token's, image() included.
    bool is_special(token id) const;

    /// Whether the white space before or after an added token is a part of it (tokenizer.json: lstrip, rstrip).
    bool takes_space_before(token id) const;
    bool takes_space_after(token id) const;

    token bos() const { return m_.bos; }                   ///< <|begin_of_text|>
    token end_of_text() const { return m_.end_of_text; }   ///< <|end_of_text|>
    token eot() const { return m_.eot; }                   ///< <|eot_id|>, the end of a turn
    token eom() const { return m_.eom; }                   ///< <|eom_id|>, the end of a message that awaits a tool
    token start_header() const { return m_.start_header; } ///< <|start_header_id|>
    token end_header() const { return m_.end_header; }     ///< <|end_header_id|>
    token python_tag() const { return m_.python_tag; }     ///< <|python_tag|>
    token pad() const { return m_.pad; }                   ///< <|finetune_right_pad_id|>

    /// The image's id at the model's input, n + 256 (128256): the first row of the embeddings beyond the vocabulary.
    token image() const { return ordinary() + 256; }

    /// Ids of an image, here and in Meta's tokenizer, n + 256 and n + 11: a model must not generate them.
    std::vector<token> image_like() const { return {ordinary() + 11, image()}; }

    /// Number of ordinary tokens, n.
    token ordinary() const { return m_.ordinary; }

    /// One more than the highest id that can be decoded: n + 257, or more if the file adds tokens.
    std::size_t size() const;

    tokenizer_kind kind() const;

  private:
    /// The ids of the marks that a conversation needs.
    struct marks {
        token bos = 0, end_of_text = 0, pad = 0, start_header = 0, end_header = 0, eom = 0, eot = 0, python_tag = 0;
        token ordinary = 0;
    };
    std::shared_ptr<tokenizer_contents const> t_;
    marks m_;
};

/// Text from ids one at a time, for streaming: returns text that is complete UTF-8, and holds back the beginning of a
/// character until the rest of it comes.
class stream_decoder {
  public:
    explicit stream_decoder(llamavision::tokens::tokenizer tokenizer, bool skip_special = false)
        : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

    /// The text that `id` completes. Bytes that cannot become a character give U+FFFD as soon as that is certain.
    std::string push(token id);

    /// What is left at the end of the stream: U+FFFD if it ends inside a character, else nothing.
    std::string finish();

  private:
    tokenizer tokenizer_;
    bool skip_special_;
    std::string pending_;
};

} // namespace llamavision::tokens

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/tokens/tokenizer.ipp>
#endif
