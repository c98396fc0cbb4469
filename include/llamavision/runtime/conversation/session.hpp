// SPDX-License-Identifier: Apache-2.0
// A session: one growing text and the pictures in it. It holds the keys and values of the self-attention layers and the
// encoded pictures, and decides for every row which pictures it sees.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <llamavision/config/configuration.hpp>
#include <llamavision/runtime/conversation/workspace.hpp>
#include <llamavision/runtime/network/network.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/sampler.hpp>

namespace llamavision {

/// Whose reading of the model a session follows; they differ in which rows of text see which image.
///
/// - `usual`: rows before the first image see none; a row sees the most recent image, or run of images; so do the
///   tokens generated after it.
/// - `meta`: exactly as Meta's code. The same, but after a prompt of two or more images generated tokens see none.
/// - `hugging_face`: exactly as transformers up to 4.54. Rows before the first image attend, unmasked, to every row of
///   every image, padded tiles included.
enum class parity { usual, meta, hugging_face };

struct session_options {
    /// Positions; 0: as many as the model was loaded for (load_options::context), which by default is all that it has,
    /// but at most 8192.
    std::size_t context = 0;
    std::size_t chunk = 256; ///< rows read in one pass; more is a little faster and takes more scratch memory
    parity reading = parity::usual;
    std::shared_ptr<workspace> work{}; ///< shared with other sessions of the model; null: one of its own
};

/// Not for several threads at once; sessions of one network may run in parallel, unless they share a workspace.
/// May be moved, but not while a generation refers to it; one that was moved from may only be destroyed or assigned to.
class session {
  public:
    using image_ptr = std::shared_ptr<encoded_image const>;

    /// @throws argument_error for a chunk of zero, a context beyond the model's, or another model's workspace;
    ///         memory_error with the figures, before anything is allocated, if it takes more than the network's memory
    ///         budget has left; memory_error if the system refuses the memory
    explicit session(std::shared_ptr<network const> net, session_options options = {});
    session(session const&) = delete; // a copy would share the KV cache: open another session, and append the same
    session& operator=(session const&) = delete;
    session(session&&) noexcept = default;
    session& operator=(session&&) noexcept = default;
    ~session() = default;

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
        std::vector<float> const& all = on_host(logits_);
        return {all.data() + all.size() - vocabulary(), vocabulary()};
    }

    /// The token after the last row read, as the sampler chooses it from `logits` and `ids`. A network that can chooses
    /// it itself, by the same rules, and the logits stay in its memory.
    /// @param memory empty for the first token of an answer; the same for all of them
    /// @throws token_error as the sampler
    [[nodiscard]] token choose(tokens::sampler& by, std::shared_ptr<void>& memory);

    /// Whether pictures for this session must be encoded with `encode_options::remember_padding`.
    [[nodiscard]] bool remembers_padding() const { return options_.reading == parity::hugging_face; }

    /// Reads a segment of prompt. Each image id in it stands for the next of `images`.
    /// On an exception the session is as before.
    /// @throws context_error if the context would overflow; argument_error for ids outside the vocabulary, when image
    ///         ids and images differ in number, or for an image of another model (`network::encoder_mark`) or one that
    ///         lacks its padded tiles (`remembers_padding`); memory_error; cancelled
    void append(std::span<token const> ids, std::span<image_ptr const> images = {}, read_options const& options = {});

    /// Reads one generated token.
    /// @throws context_error if the context is full; argument_error for an id outside the vocabulary; memory_error
    void append_generated(token id, read_options const& options = {});

    /// What one of several sessions is to read: a segment of prompt as in `append`, or tokens that were generated.
    struct input {
        session* to = nullptr;
        std::span<token const> ids;
        std::span<image_ptr const> images{};
        bool generated = false;
    };
    /// Reads for several sessions of one model together: every weight is read once for all of them. A token for each
    /// then takes hardly longer than a token for one, as long as reading the weights is what takes the time.
    /// Each session reads what it would read alone: its logits are the same bits where the backend's kernels are the
    /// same for any number of rows (scalar, simd). A pass takes as many rows as the first session's chunk has; scratch
    /// memory is the first session's workspace. An observer sees rows of all of them, in order.
    /// On an exception all sessions are as before.
    /// @throws argument_error for sessions of different models, or one that is named twice; what `append` throws
    static void append_together(std::span<input const> all, read_options const& options = {});

    /// Logits of every row that the last `append` read, if it was watched: (rows, vocabulary).
    [[nodiscard]] std::span<float const> all_logits() const { return on_host(logits_); }

    /// Forgets text and images.
    void reset() {
        ids_.clear();
        images_.clear();
        run_begin_ = run_end_ = prompt_images_ = 0;
    }

    /// Bytes that the session holds: the cache as far as it is filled, and its workspace.
    [[nodiscard]] std::size_t bytes() const {
        return (ids_.size() * cache_.layers * 2 * cache_.stride / cache_.capacity + logits_.host.size()
                + next_logits_.host.size())
                   * sizeof(float)
               + work_->bytes();
    }

  private:
    /// How far the session has read. Rows of the cache beyond the length are overwritten later.
    struct state {
        std::size_t length = 0, images = 0;
        std::size_t run_begin = 0, run_end = 0; ///< the images of the most recent run
    };
    /// Logits of some rows in the host's memory, or of the last row in the network's.
    struct kept_logits {
        mutable std::vector<float> host;   ///< (rows, vocabulary)
        std::shared_ptr<std::byte> device; ///< (vocabulary), in the network's memory; null: the network does not choose
        mutable bool on_device = false;    ///< `device` holds them, and `host` does not
    };
    /// Takes all sessions back to where they were, unless released.
    class undo {
      public:
        explicit undo(std::span<input const> all) : all_(all) {
            for (input const& p : all) p.to->before_ = p.to->now();
        }
        ~undo() {
            for (input const& p : all_) p.to->go_back();
        }
        undo(undo const&) = delete;
        undo& operator=(undo const&) = delete;
        void release() { all_ = {}; }

      private:
        std::span<input const> all_;
    };

    [[nodiscard]] std::size_t vocabulary() const { return network_->tokens().head; }
    /// Downloads the logits if they are still in the network's memory.
    [[nodiscard]] std::vector<float> const& on_host(kept_logits const& l) const;
    [[nodiscard]] state now() const { return {ids_.size(), images_.size(), run_begin_, run_end_}; }
    void go_back();

    /// Takes the memory that the options ask for.
    void allocate();

    static void check(std::span<input const> all);
    void check(std::span<token const> ids, std::size_t images) const;
    void check(encoded_image const* image) const;

    /// Reads what was checked.
    static void read_together(std::span<input const> all, read_options const& options);

    /// Appends to the workspace's list which rows of `part`, its next rows, see which images. A run of consecutive
    /// image tokens is seen as a whole by what follows it; each of its own rows sees the run up to itself (Meta:
    /// create_vision_mask; Hugging Face: get_cross_attention_token_mask).
    void add_visibility(workspace& work, std::span<token const> part, bool generated);

    /// Of one call of `append_together`.
    struct pass_kind {
        bool watched;
        bool only; ///< the call needs no other pass
    };
    /// Adds the session's next rows to the workspace's pass.
    void join(workspace& work, std::span<token const> part, bool generated, std::size_t logit_rows, pass_kind kind);

    /// Ends a call that succeeded: the new logits replace the ones before.
    void keep(input const& read, pass_kind kind);

    std::shared_ptr<network const> network_;
    session_options options_;
    std::shared_ptr<workspace> work_;
    kv_cache cache_;
    std::shared_ptr<std::byte> storage_;
    kept_logits logits_, next_logits_; ///< of what was read, and of what is being read
    std::vector<token> ids_;
    std::vector<image_ptr> images_;
    std::vector<image_memory const*> seen_;
    std::size_t run_begin_ = 0, run_end_ = 0; ///< the images of the most recent run
    std::size_t prompt_images_ = 0;
    state before_;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/session.ipp>
#endif
