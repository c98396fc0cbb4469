// SPDX-License-Identifier: Apache-2.0
// What a pass needs beside its input rows: positions, caches, image memories, the plan of the vision sequence, scratch
// memory, and an observer. Expressions hold none of it, so a model is immutable and any number of sessions may share
// it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/backend/attention.hpp>
#include <llamavision/backend/products.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision {

/// Rows of activations: (count, width) floats without gaps.
struct rows {
    float* data = nullptr;
    std::size_t count = 0;
    std::size_t width = 0;

    [[nodiscard]] constexpr std::size_t size() const { return count * width; }
};

/// Rows whose norm is applied by the products that read them (fusion::norms).
struct normed_rows {
    normed data;
    std::size_t count = 0;
    std::size_t width = 0;
};

/// What flows into an embedding.
struct id_rows {
    std::int32_t const* data = nullptr;
    std::size_t count = 0;
};

/// What flows into a vision model: normalised tiles (count, channels, side, side).
struct pixel_tiles {
    float const* data = nullptr;
    std::size_t count = 0;
    std::size_t side = 0;
};

/// A stack of scratch memory. While measuring it hands out nothing and remembers how much it would have handed out:
/// that is how `plan` knows before a run what the run will take.
class arena {
  public:
    arena() = default; ///< measures
    explicit arena(std::span<float> memory) : memory_(memory), measuring_(false) {}

    [[nodiscard]] bool measuring() const { return measuring_; }
    /// The most floats that were ever out at a time.
    [[nodiscard]] std::size_t peak() const { return peak_; }

    /// Memory for (count, width) floats, until the enclosing `frame` ends.
    /// @throws argument_error if less is left
    [[nodiscard]] rows take(std::size_t count, std::size_t width) {
        constexpr std::size_t line = 16; // floats in a cache line
        std::size_t const begin = used_;
        used_ += round_up(count * width, line);
        peak_ = std::max(peak_, used_);
        if (!measuring_ && begin + count * width > memory_.size())
            throw argument_error("the pass takes more than the " + std::to_string(memory_.size())
                                 + " floats of scratch memory that it was given");
        return {measuring_ ? nullptr : memory_.subspan(begin, count * width).data(), count, width};
    }

    /// Gives back, when it ends, what was taken since it began.
    class frame {
      public:
        explicit frame(arena& a) : arena_(a), used_(a.used_) {}
        ~frame() { arena_.used_ = used_; }
        frame(frame const&) = delete;
        frame& operator=(frame const&) = delete;

      private:
        arena& arena_;
        std::size_t used_;
    };

  private:
    std::span<float> memory_;
    std::size_t used_ = 0;
    std::size_t peak_ = 0;
    bool measuring_ = true;
};

/// What the cross-attention layers remember of one image: keys and values of every cross layer, heads not repeated.
struct image_memory {
    struct layer {
        float const* keys = nullptr;   ///< (rows, kv_heads, head_dim), normed
        float const* values = nullptr; ///< (rows, kv_heads, head_dim)
        float const* padded_keys = nullptr;
        float const* padded_values = nullptr;
    };
    bool kept = false;                  ///< all of them as the backend keeps them
    std::vector<layer> layers;          ///< one for each cross layer, in order
    std::size_t rows = 0;               ///< rows of real tiles; they come first
    std::size_t padded_rows = 0;        ///< rows of padded tiles after them; only kept to emulate Hugging Face's leak
    float const* padded_bias = nullptr; ///< (padded_rows): ln(multiplicity)
};

/// Consecutive rows of text and the images that they see.
struct image_visibility {
    std::size_t first = 0;
    std::size_t rows = 0;
    std::span<image_memory const* const> images; ///< empty: these rows see no image
    /// Hugging Face's unmasked rows before the first image: they attend to all rows of all images, padded tiles
    /// included, and only the MLP of the cross block is masked for them.
    bool leak = false;

    [[nodiscard]] bool sees() const { return !images.empty() && !leak; }
};

/// Self-attention keys and values of one conversation. Layers are counted among the self-attention layers.
struct kv_cache {
    float* data = nullptr; ///< (layers, 2, stride)
    std::size_t layers = 0;
    std::size_t capacity = 0; ///< positions
    std::size_t width = 0;    ///< kv_heads * head_dim
    std::size_t stride = 0;   ///< floats of a layer's keys: capacity * width, or what the backend keeps them in

    [[nodiscard]] float* keys(std::size_t layer) const { return data + layer * 2 * stride; }
    [[nodiscard]] float* values(std::size_t layer) const { return keys(layer) + stride; }
};

/// The lists that attention fills in every layer. A workspace keeps them, so that their memory is allocated only once.
struct attention_lists {
    std::vector<key_block> blocks;
    std::vector<query_group> groups;
    std::vector<kept_rows> places;
};

/// A pass that a backend has recorded (`replays`), and for what. A workspace keeps it, for the next tokens.
struct pass_tape {
    std::shared_ptr<void> recorded;
    std::vector<std::uint64_t> key;
    std::vector<std::size_t> positions;
};

/// Consecutive rows of one conversation.
struct segment {
    std::size_t rows = 0;
    std::size_t position = 0;   ///< of the first row; the cache holds all rows before it
    std::size_t logit_rows = 0; ///< how many of the last rows reach the head
    kv_cache cache;
    float* logits = nullptr;        ///< (logit_rows, vocabulary), in the host's memory; or
    float* device_logits = nullptr; ///< (vocabulary): the last row's stay in the backend's memory
};

/// The rows of text of one forward pass: of one conversation, or of several, one after the other. Only attention, and
/// the head, know where one ends.
struct text_rows {
    std::span<segment const> segments;
    float const* cos = nullptr; ///< (count, head_dim / 2)
    float const* sin = nullptr;
    std::span<image_visibility const> visibility; ///< covers the rows in order
    attention_lists* lists = nullptr;             ///< null: the pass brings its own
    pass_tape* tape = nullptr;                    ///< null: nothing is recorded

    [[nodiscard]] std::size_t count() const {
        std::size_t sum = 0;
        for (segment const& s : segments) sum += s.rows;
        return sum;
    }
    [[nodiscard]] std::size_t logit_rows() const {
        std::size_t sum = 0;
        for (segment const& s : segments) sum += s.logit_rows;
        return sum;
    }
    [[nodiscard]] bool any_sees() const {
        return std::any_of(visibility.begin(), visibility.end(), [](image_visibility const& s) { return s.sees(); });
    }
    [[nodiscard]] bool any_attends() const {
        return std::any_of(visibility.begin(), visibility.end(),
                           [](image_visibility const& s) { return !s.images.empty(); });
    }
};

/// The rows of the vision sequence of one image. Real tiles come first, then padded ones. Padded tiles of an
/// image are equal to each other, and so are the pad rows of a tile: one row with a multiplicity may represent them.
/// Where all multiplicities are one, it is the plain computation.
struct vision_rows {
    struct slot {
        std::size_t tile = 0; ///< index into the tile tables
        bool real = true;
        std::size_t multiplicity = 1; ///< how many tiles it represents
    };
    std::size_t aspect_id = 0; ///< row of the tile tables, 1-based (REFERENCE: 0 is padding)
    std::vector<slot> slots;
    std::size_t patches = 0;            ///< of a tile
    std::size_t pads = 0;               ///< rows appended to each tile
    std::size_t pad_multiplicity = 1;   ///< how many pad rows each of them represents
    std::size_t kept_slots = 0;         ///< the first so many slots reach the projector
    std::vector<float> bias;            ///< (rows()): ln(multiplicity), or empty when all are one
    std::size_t tap_shift = 0;          ///< 1: `repeat` keeps the outputs of the tapped layers, not their inputs
    float const* device_bias = nullptr; ///< `bias` in the backend's memory, if it has its own
    std::span<float*> taps;             ///< where `repeat` keeps what it taps: (rows(), width) each

    [[nodiscard]] std::size_t tokens() const { return patches + 1; }
    [[nodiscard]] std::size_t rows_per_slot() const { return tokens() + pads; }
    [[nodiscard]] std::size_t rows() const { return slots.size() * rows_per_slot(); }
    /// The first so many slots are real; all of them are kept.
    [[nodiscard]] std::size_t real_slots() const {
        return static_cast<std::size_t>(
            std::count_if(slots.begin(), slots.end(), [](slot const& s) { return s.real; }));
    }
    [[nodiscard]] float const* bias_for_kernels() const {
        return bias.empty() ? nullptr : device_bias ? device_bias : bias.data();
    }
};

/// Sees every named activation: the module's full name as Hugging Face spells it, and its output.
using observer = std::function<void(std::string_view module, rows const& output)>;
/// Called after each layer of a tower or stack; an exception it throws ends the run.
using layer_done = std::function<void()>;

struct context {
    arena& scratch;
    text_rows const* text = nullptr;
    vision_rows const* vision = nullptr;
    observer const* watch = nullptr;
    layer_done const* on_layer = nullptr;
    std::size_t layer = 0; ///< index of the current layer among those of its kind
    bool rounded = false;  ///< attention may round to bfloat16, and keeps keys in the backend's own form
    std::string path{};    ///< of the current module; kept only if there is an observer
    attention_lists own_lists{};

    [[nodiscard]] bool measuring() const { return scratch.measuring(); }
    [[nodiscard]] attention_lists& lists() { return text && text->lists ? *text->lists : own_lists; }
};

} // namespace llamavision
