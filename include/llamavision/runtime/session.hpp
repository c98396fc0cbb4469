// SPDX-License-Identifier: Apache-2.0
// A session: one growing text and the pictures in it. It holds what stands while rows flow, the self-attention cache
// and the images, and decides for every row which of them it sees.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <llamavision/config/configuration.hpp>
#include <llamavision/layers/rope.hpp>
#include <llamavision/runtime/network.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/sampler.hpp>

namespace llamavision {

/// Whose reading of the model a session follows; they differ in which rows of text see which image.
///
/// - `usual`: rows before the first image see none; a row sees the most recent image, or run of images; so do the
///   tokens generated after it.
/// - `meta`: Meta's code to the letter. The same, but after a prompt of two or more images generated tokens see none.
/// - `hugging_face`: transformers up to 4.54 to the letter. Rows before the first image attend, unmasked, to every row
///   of every image, padded tiles included.
enum class parity { usual, meta, hugging_face };

struct session_options {
    std::size_t context = 0; ///< positions; 0 takes the model's, but at most 8192
    std::size_t chunk = 256; ///< rows read at a time; more is a little faster and takes more scratch memory
    parity reading = parity::usual;
};

/// Not for several threads at once; sessions of one network may run in parallel.
class session {
  public:
    using image_ptr = std::shared_ptr<encoded_image const>;

    /// @throws argument_error for a chunk of zero, or a context beyond the model's
    explicit session(std::shared_ptr<network const> net, session_options options = {});

    [[nodiscard]] std::size_t length() const { return ids_.size(); }
    [[nodiscard]] std::size_t context() const { return options_.context; }
    [[nodiscard]] parity reading() const { return options_.reading; }
    [[nodiscard]] std::span<token const> ids() const { return ids_; }
    [[nodiscard]] std::size_t images() const { return images_.size(); }
    [[nodiscard]] network const& net() const { return *network_; }
    /// The id that stands for a picture: the first beyond the vocabulary.
    [[nodiscard]] token image_id() const { return static_cast<token>(network_->numbers().text.vocabulary); }
    /// Logits of the last row read: (vocabulary).
    [[nodiscard]] std::span<float const> logits() const {
        bring_logits();
        return {logits_.data() + logits_.size() - vocabulary(), vocabulary()};
    }

    /// The token after the last row read, as the sampler chooses it from `logits` and `ids`; where the network can, it
    /// chooses itself, by the same rules, and the logits stay in its memory.
    /// @param memory empty for the first token of an answer; the same for all of them
    /// @throws token_error as the sampler
    [[nodiscard]] token choose(tokens::sampler& by, std::shared_ptr<void>& memory);

    /// Whether pictures for this session must be encoded with `encode_options::remember_padding`.
    [[nodiscard]] bool remembers_padding() const { return options_.reading == parity::hugging_face; }

    /// Reads a stretch of prompt. Each image id in it stands for the next of `images`.
    /// On an exception the session is as before.
    /// @throws context_error if the context would overflow; argument_error for ids outside the vocabulary, when image
    ///         ids and images differ in number, or for an image of another model or one that lacks its padded tiles
    ///         (`remembers_padding`); cancelled
    void append(std::span<token const> ids, std::span<image_ptr const> images = {}, read_options const& options = {});

    /// Reads one generated token.
    /// @throws context_error if the context is full; argument_error for an id outside the vocabulary
    void append_generated(token id, read_options const& options = {});

    /// Logits of every row that the last `append` read, if it was watched: (rows, vocabulary).
    [[nodiscard]] std::span<float const> all_logits() const { return logits_; }

    /// Forgets text and images.
    void reset() {
        ids_.clear();
        images_.clear();
        run_begin_ = run_end_ = prompt_images_ = 0;
    }

    /// Bytes that the session holds: the cache as far as it is filled, and scratch memory.
    [[nodiscard]] std::size_t bytes() const {
        return (ids_.size() * cache_.layers * 2 * cache_.stride / cache_.capacity + scratch_size_ + logits_.size()
                + angles_.size())
               * sizeof(float);
    }

  private:
    /// Restores length, images and sight unless released: rows beyond the length are overwritten later.
    class undo {
      public:
        explicit undo(session& s)
            : session_(&s), length_(s.ids_.size()), images_(s.images_.size()), begin_(s.run_begin_), end_(s.run_end_) {}
        ~undo() {
            if (!session_) return;
            session_->ids_.resize(length_);
            session_->images_.resize(images_);
            session_->run_begin_ = begin_;
            session_->run_end_ = end_;
        }
        undo(undo const&) = delete;
        undo& operator=(undo const&) = delete;
        void release() const { session_ = nullptr; }

      private:
        mutable session* session_;
        std::size_t length_, images_, begin_, end_;
    };

    [[nodiscard]] std::size_t vocabulary() const { return network_->numbers().text.vocabulary; }

    void check(std::span<token const> ids, std::size_t images) const;

    void check(encoded_image const* image) const;

    /// Which rows of `part` see which images. A run of consecutive image tokens is seen as a whole by what follows it;
    /// each of its own rows sees the run up to itself (Meta: create_vision_mask; Hugging Face:
    /// get_cross_attention_token_mask).
    void look(std::span<token const> part, bool generated);

    void reserve(std::size_t rows_in, std::size_t logit_rows, bool watched);

    /// Makes room for that many rows of logits. The row that `logits` shows stays the last one, should reading fail.
    void make_room(std::size_t logit_rows);

    void read(std::span<token const> part, std::size_t logit_rows, read_options const& options);

    /// The last row's, if they stayed in the network's memory.
    void bring_logits() const;

    std::shared_ptr<network const> network_;
    session_options options_;
    std::vector<float> frequencies_;
    kv_cache cache_;
    std::shared_ptr<std::byte> storage_;
    std::shared_ptr<std::byte> scratch_;
    std::size_t scratch_size_ = 0;
    std::vector<float> angles_;
    mutable std::vector<float> logits_;
    std::shared_ptr<std::byte> logits_there_; ///< (vocabulary); null: the network does not choose
    mutable bool logits_are_there_ = false;   ///< and not in `logits_`
    std::vector<token> ids_;
    std::vector<image_ptr> images_;
    std::vector<image_memory const*> seen_;
    std::vector<sight> sights_;
    attention_lists lists_;
    pass_tape tape_;
    std::size_t run_begin_ = 0, run_end_ = 0; ///< the images of the most recent run
    std::size_t prompt_images_ = 0;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/session.ipp>
#endif
