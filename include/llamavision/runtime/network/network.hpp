// SPDX-License-Identifier: Apache-2.0
// A model with its weights, as the rest of the runtime sees it: two verbs, `encode` for a picture and `read` for text,
// and numbers. Which configuration and which backend it was compiled for stays behind this wall, so that conversations
// are written once, and a program may choose among models at run time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/backend/choice.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/expression/context.hpp>
#include <llamavision/expression/count.hpp>
#include <llamavision/image/tiles.hpp>
#include <llamavision/runtime/network/planned_use.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/tokens/token.hpp>
#include <llamavision/weights/memory.hpp>

namespace llamavision {

struct encode_options {
    bool collapse_padding = true;  ///< false: the plain computation, row for row what the references do
    bool remember_padding = false; ///< keep padded tiles for Hugging Face's leak
    /// For weights fine-tuned with transformers 4.56 or later, which taps the tower one layer later (its outputs).
    bool taps_after_layer = false;
    progress on_progress{};
    std::stop_token stop{};
    observer watch{};
};

struct read_options {
    progress on_progress{};
    std::stop_token stop{};
    observer watch{};
};

/// A picture as the cross-attention layers remember it. Immutable; any number of sessions may look at it.
struct encoded_image {
    image_memory memory;
    std::size_t grid_rows = 0;
    std::size_t grid_columns = 0;
    std::shared_ptr<std::byte> storage;
    std::size_t bytes = 0;
    std::string encoder; ///< `network::encoder_mark` of whom it was encoded by
};

/// Bytes that the parts of a running model take.
struct memory_plan {
    weight_memory weights;
    std::size_t encode_scratch = 0;     ///< while a picture of all tiles is encoded
    std::size_t image = 0;              ///< for each encoded picture of all tiles
    std::size_t cache_per_position = 0; ///< self-attention keys and values
    std::size_t read_scratch = 0;       ///< while `rows` tokens are read at a time
    std::size_t kernels = 0;            ///< what the backend's kernels take beside their operands
    std::size_t logits = 0;             ///< for each conversation: of the row before, and of the next one
    std::size_t rows = 0;
    std::size_t conversations = 1; ///< that share a workspace

    /// What pictures of all tiles and the conversations, of `positions` each, take beside the weights. A workspace
    /// keeps its scratch memory while a picture is encoded. Caches grow in steps of 32 positions.
    [[nodiscard]] std::size_t beside_weights(std::size_t positions, std::size_t pictures = 1) const {
        return encode_scratch + read_scratch + kernels + pictures * image
               + conversations * (round_up(positions, 32) * cache_per_position + logits);
    }
    /// The same and the weights: memory that no other process shares and that the system cannot drop. Mapped weights
    /// come on top; where less memory is left than they take, they are read from their files again and again.
    [[nodiscard]] std::size_t own(std::size_t positions, std::size_t pictures = 1) const {
        return weights.own + beside_weights(positions, pictures);
    }
};

/// Rows of the tables that have one for each token.
struct token_rows {
    std::size_t embedding; ///< ids below it can be read
    std::size_t head;      ///< logits of a row
};

class network {
  public:
    virtual ~network() = default;

    [[nodiscard]] virtual std::string_view name() const = 0; ///< of the configuration
    [[nodiscard]] virtual std::string_view backend_name() const = 0;
    [[nodiscard]] virtual config::numbers const& numbers() const = 0;
    /// The model's, or those of a checkpoint whose fine-tuning added tokens.
    [[nodiscard]] virtual token_rows tokens() const {
        return {config::embedding_rows(numbers()), numbers().text.vocabulary};
    }
    [[nodiscard]] virtual totals size() const = 0;
    [[nodiscard]] virtual std::string architecture() const = 0; ///< the expression, printed
    /// Operations for a picture of that many tiles, the cross-attention's keys and values included; see
    /// `encode_options::collapse_padding`.
    [[nodiscard]] virtual double image_flops(std::size_t tiles, bool collapsed) const = 0;
    /// Operations for reading `count` tokens after `before` others, with that many rows of image in sight.
    [[nodiscard]] virtual double read_flops(std::size_t before, std::size_t count, std::size_t image_rows) const = 0;
    /// Floats that the keys of so many positions take in one layer of a session's cache; values take the same.
    [[nodiscard]] virtual std::size_t cache_floats(std::size_t capacity) const = 0;
    /// What it takes for so many conversations to be read in one pass of `rows` tokens.
    [[nodiscard]] virtual memory_plan plan(std::size_t rows, std::size_t conversations) const = 0;
    [[nodiscard]] memory_plan plan(std::size_t rows) const { return plan(rows, 1); }
    /// What the model was loaded for, with its context settled.
    [[nodiscard]] virtual planned_use planned() const { return settled({}, numbers().text); }
    /// Bytes of the memory budget that are left for sessions and pictures; SIZE_MAX: there is no budget.
    [[nodiscard]] virtual std::size_t memory_left() const { return SIZE_MAX; }
    /// Memory where the network works, for sessions' caches and scratch: uninitialised, on a cache line.
    /// @throws memory_error if less of the budget is left, or if the system refuses it
    [[nodiscard]] virtual std::shared_ptr<std::byte> allocate(std::size_t bytes) const = 0;
    /// Into such memory.
    virtual void upload(std::span<std::byte const> from, std::byte* to) const = 0;
    /// Out of it.
    virtual void download(std::byte const* from, std::span<std::byte> to) const = 0;

    /// Whether there is a vision tower. The text model is also passed around alone.
    [[nodiscard]] virtual bool sees() const { return true; }
    /// @throws image_error if the tiles are not the model's, or nothing is seen; cancelled
    [[nodiscard]] virtual std::shared_ptr<encoded_image const> encode(image::tiles const& tiles,
                                                                      encode_options const& options) const = 0;
    /// What `encode` would return for a picture of that many tiles, before anything is computed: keys and values are
    /// zero.
    /// @throws image_error if no canvas has that arrangement
    [[nodiscard]] virtual std::shared_ptr<encoded_image> blank_image(std::size_t grid_rows, std::size_t grid_columns,
                                                                     encode_options const& options) const = 0;
    /// What `encode` computes with, as 64 letters: every bit of the weights that it reads, their layout, and
    /// which kernels read them. Networks that agree in it encode a picture to the same bits. Reads all those weights
    /// when it is first called.
    /// @throws image_error if the model sees no pictures
    [[nodiscard]] virtual std::string encoder_identity() const = 0;
    /// The same of one page of each of those weights, which costs nothing: enough to recognise a picture that another
    /// configuration, backend, format or training encoded.
    /// @throws image_error if the model sees no pictures
    [[nodiscard]] virtual std::string encoder_mark() const = 0;

    /// Floats of scratch that `read` needs for that many rows; a watched pass runs unfused, and may need more.
    [[nodiscard]] virtual std::size_t read_scratch(std::size_t rows, std::size_t logit_rows, bool watched) const = 0;
    /// Reads ids at the positions of `text`; writes its segments' caches, and, last of all, their logits.
    /// @pre ids are below `tokens().embedding`; scratch holds `read_scratch` floats; scratch, caches and
    ///      `device_logits` lie in memory from `allocate`, and all else in the host's
    /// @throws cancelled
    virtual void read(text_rows text, std::span<token const> ids, std::span<float> scratch,
                      read_options const& options) const = 0;

    /// Whether the next token can be chosen from logits that stay in memory from `allocate` (segment::device_logits).
    [[nodiscard]] virtual bool chooses() const { return false; }
    /// Chooses it. `memory` is empty for the first token of an answer, and its own for the next ones.
    /// @pre chooses()
    [[nodiscard]] virtual chosen choose(std::shared_ptr<void>& /*memory*/, choosing const& /*how*/,
                                        float const* /*logits*/) const {
        return {};
    }
};

} // namespace llamavision
