// SPDX-License-Identifier: Apache-2.0
// The half of a network that encodes pictures: tiles to features, and features to what each cross-attention layer of
// the reader remembers of the picture.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/memory.hpp>
#include <llamavision/expression/run.hpp>
#include <llamavision/model/model_of.hpp>
#include <llamavision/runtime/images/plan.hpp>
#include <llamavision/runtime/network/compiled_reader.hpp>
#include <llamavision/runtime/network/layer_facts.hpp>
#include <llamavision/runtime/network/network.hpp>
#include <llamavision/runtime/network/pass.hpp>
#include <llamavision/runtime/weights/stream.hpp>

namespace llamavision {

/// Immutable once its weights are bound; `encode` may be called from several threads if the backend's kernels may.
template <encodes M, backend B>
class compiled_encoder {
    static constexpr auto expression = M::encoder;
    static constexpr attention_facts of_image = attention_of(M::reader, key_source::image);
    static constexpr tap_facts tapped = taps_of(M::encoder);
    using reader_weights = weights<std::remove_const_t<decltype(M::reader)>>;

  public:
    using weights_type = weights<std::remove_const_t<decltype(M::encoder)>>;
    static constexpr std::size_t depth = depth_of(M::encoder);
    static constexpr std::size_t features_width = width_out<std::remove_const_t<decltype(M::encoder)>>;

    /// @param rounded whether the encoder's attention may round to bfloat16
    /// @param kept whether keys and values of images are kept in the backend's form
    compiled_encoder(B const& kernels, reader_weights const& reader, bool rounded, bool kept)
        : backend_(kernels), reader_(reader), rounded_(rounded), kept_(keeps_keys<B> && kept) {}

    [[nodiscard]] weights_type& weights_to_bind() { return *weights_; }
    /// Whether keys and values of images are kept in the backend's form.
    [[nodiscard]] bool kept() const { return kept_; }
    /// From then on, mapped weights are read ahead of the layers.
    void stream(std::vector<weight_stream::stage> stages) {
        stream_ = std::make_unique<weight_stream>(std::move(stages), 0);
    }

    /// To be called once the weights are bound: padded tiles may be collapsed where the tables give all of them the
    /// same vector (zero, in converted checkpoints).
    void check_padding() {
        auto const all = config::all_arrangements(numbers_.tiles);
        equal_padding_.assign(all.size() + 1, true);
        weights_type const* const bound = weights_.get();
        walk(expression, bound, [&](auto node, auto const* w, node_place const&) {
            if constexpr (requires { node.bytes_equal(backend_, *w, 0, 0, 0); })
                for (std::size_t i = 0; i < all.size(); ++i) {
                    std::size_t const first = all[i].tiles();
                    for (std::size_t slot = first + 1; slot < numbers_.tiles; ++slot)
                        if (!node.bytes_equal(backend_, *w, i + 1, first, slot)) equal_padding_[i + 1] = false;
                }
        });
    }

    /// Bytes of scratch while a picture of all tiles is encoded.
    [[nodiscard]] std::size_t scratch_bytes() const {
        return scratch(plan_image(numbers_, 1, numbers_.tiles, {}), false) * sizeof(float);
    }
    /// Rows of activations of a picture of all tiles.
    [[nodiscard]] std::size_t most_rows() const { return plan_image(numbers_, 1, numbers_.tiles, {}).rows(); }
    /// Bytes of what is remembered of a picture of all tiles.
    [[nodiscard]] std::size_t image_bytes() const {
        vision_rows const image = plan_image(numbers_, 1, numbers_.tiles, {});
        return of_image.layers * 2 * floats_of(image.kept_slots * image.tokens()) * sizeof(float);
    }

    /// See network::encode. @param of allocates, and marks the image as its own
    [[nodiscard]] std::shared_ptr<encoded_image const> encode(image::tiles const& tiles, encode_options const& options,
                                                              network const& of) const {
        check_arrangement(numbers_, tiles.rows, tiles.columns);
        std::size_t const real = tiles.rows * tiles.columns, values = real * values_per_tile();
        if (tiles.side != numbers_.tile)
            throw image_error("the model takes tiles of " + std::to_string(numbers_.tile) + " pixels, these have "
                              + std::to_string(tiles.side));
        if (tiles.values.size() != values)
            throw image_error(std::to_string(real) + " tiles have " + std::to_string(values) + " values, these have "
                              + std::to_string(tiles.values.size()));
        vision_rows const plan = plan_of(tiles.rows, tiles.columns, options);
        std::size_t const size = scratch(plan, bool(options.watch));
        std::shared_ptr<std::byte> const memory = of.allocate(size * sizeof(float));
        arena scratch_memory({reinterpret_cast<float*>(memory.get()), size});
        auto image = blank(plan, tiles.rows, tiles.columns, of);
        encode(plan, scratch_memory, {tiles.values.data(), real, tiles.side}, options, image.get());
        return image;
    }

    /// See network::blank_image.
    [[nodiscard]] std::shared_ptr<encoded_image> blank(std::size_t grid_rows, std::size_t grid_columns,
                                                       encode_options const& options, network const& of) const {
        check_arrangement(numbers_, grid_rows, grid_columns);
        return blank(plan_of(grid_rows, grid_columns, options), grid_rows, grid_columns, of);
    }

  private:
    [[nodiscard]] std::size_t values_per_tile() const { return numbers_.channels * numbers_.tile * numbers_.tile; }
    /// Floats that the keys of so many rows of an image take in one layer.
    [[nodiscard]] std::size_t floats_of(std::size_t rows) const { return key_floats(backend_, of_image, rows, kept_); }

    [[nodiscard]] std::size_t scratch(vision_rows const& plan, bool watched) const {
        arena measure;
        encode(plan, measure, {nullptr, plan.real_slots(), numbers_.tile}, measuring<encode_options>(watched), nullptr);
        return measure.peak();
    }

    void encode(vision_rows plan, arena& scratch, pixel_tiles pixels, encode_options const& options,
                encoded_image* image) const {
        std::array<float*, tapped.count> taps{};
        for (float*& tap : taps) tap = scratch.take(plan.rows(), tapped.width).data;
        plan.taps = taps;
        weight_stream const* const from = scratch.measuring() ? nullptr : stream_.get();
        layer_counter<encode_options> counter{options, depth, from};
        layer_done const on_layer = std::ref(counter);
        observer const watch = on_host(backend_, options.watch);
        context c{scratch};
        c.vision = &plan;
        c.rounded = rounded_;
        c.watch = watch ? &watch : nullptr;
        c.on_layer = &on_layer;
        if (!plan.bias.empty()) plan.device_bias = on_device(backend_, plan.bias.data(), plan.rows(), scratch);
        rows const features = scratch.take(plan.kept_slots * plan.tokens(), features_width);
        {
            arena::frame const frame(scratch);
            pixels.data = on_device(backend_, pixels.data, pixels.count * values_per_tile(), scratch);
            if (from) from->enter(0);
            run(backend_, expression, *weights_, c, pixels, features);
        }
        remember(features, c, image);
    }

    [[nodiscard]] vision_rows plan_of(std::size_t grid_rows, std::size_t grid_columns,
                                      encode_options const& options) const {
        std::size_t const id = config::arrangement_id(grid_rows, grid_columns, numbers_.tiles);
        vision_rows plan = plan_image(numbers_, grid_rows, grid_columns,
                                      {options.collapse_padding && equal_padding_.at(id), options.remember_padding});
        plan.tap_shift = options.taps_after_layer ? 1 : 0;
        return plan;
    }

    /// Memory for keys and values of every cross layer, each those of the real tiles' rows and then the padded ones,
    /// and for the padded rows' bias.
    [[nodiscard]] std::shared_ptr<encoded_image> blank(vision_rows const& plan, std::size_t grid_rows,
                                                       std::size_t grid_columns, network const& of) const {
        auto image = std::make_shared<encoded_image>();
        image_memory& m = image->memory;
        std::vector<float> bias; // (padded rows)
        for (std::size_t s = plan.real_slots(); s < plan.kept_slots; ++s)
            bias.insert(bias.end(), plan.tokens(), std::log(static_cast<float>(plan.slots[s].multiplicity)));
        m.rows = plan.real_slots() * plan.tokens();
        m.padded_rows = bias.size();
        m.kept = kept_;
        std::size_t const seen = floats_of(m.rows), all = seen + floats_of(m.padded_rows);
        image->encoder = of.encoder_mark();
        image->grid_rows = grid_rows;
        image->grid_columns = grid_columns;
        image->bytes = (of_image.layers * 2 * all + bias.size()) * sizeof(float);
        image->storage = of.allocate(image->bytes);
        auto* at = reinterpret_cast<float*>(image->storage.get());
        backend_.zero(at, of_image.layers * 2 * all);
        for (std::size_t i = 0; i < of_image.layers; ++i, at += 2 * all)
            m.layers.push_back({at, at + all, at + seen, at + all + seen});
        upload(backend_, bias.data(), bias.size() * sizeof(float), at);
        m.padded_bias = at;
        return image;
    }

    /// Keys and values of every cross layer, once for each picture.
    void remember(rows features, context& c, encoded_image* image) const {
        rows keys{nullptr, features.count, of_image.kv_width()}, values = keys; // as floats, before they are kept
        if (kept_) {
            keys = c.scratch.take(features.count, keys.width);
            values = c.scratch.take(features.count, values.width);
        }
        if (c.measuring()) return;
        image_memory const& m = image->memory;
        std::size_t const seen = floats_of(m.rows), all = seen + floats_of(m.padded_rows);
        auto* at = reinterpret_cast<float*>(image->storage.get());
        walk(M::reader, &reader_, [&](auto node, auto const* w, node_place const& place) {
            if constexpr (requires { node.memorise(backend_, *w, c, features, features, features); }) {
                c.path = place.path;
                if (!m.kept) {
                    keys.data = at;
                    values.data = at + all;
                }
                node.memorise(backend_, *w, c, features, keys, values);
                if constexpr (keeps_keys<B>)
                    if (m.kept) {
                        keep(keys.data, values.data, m.rows, at, at + all);
                        keep(keys.data + m.rows * keys.width, values.data + m.rows * keys.width, m.padded_rows,
                             at + seen, at + all + seen);
                    }
                at += 2 * all;
            }
        });
        if constexpr (owns_memory<B>) backend_.wait(); // what fails, fails here
    }

    void keep(float const* keys, float const* values, std::size_t count, float* to_keys, float* to_values) const {
        kept_rows const place{count, 0, count, to_keys, to_values};
        if (count > 0) backend_.keep(of_image.shape, keys, values, {&place, 1});
    }

    B const& backend_;
    reader_weights const& reader_; ///< whose cross layers make keys and values of the features
    bool rounded_, kept_;
    config::vision_numbers numbers_ = config::numbers_of<typename M::configured>().vision;
    std::unique_ptr<weights_type> weights_ = std::make_unique<weights_type>();
    std::vector<bool> equal_padding_; ///< by arrangement: whether the tables give all padded tiles the same vector
    std::unique_ptr<weight_stream const> stream_; ///< null: the mapped weights fit into memory
};

} // namespace llamavision
