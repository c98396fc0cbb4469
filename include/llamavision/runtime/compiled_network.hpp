// SPDX-License-Identifier: Apache-2.0
// The network of one configuration on one backend: where the expression, its weights and a backend meet.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/model/flops.hpp>
#include <llamavision/model/mllama.hpp>
#include <llamavision/runtime/image_plan.hpp>
#include <llamavision/runtime/network.hpp>
#include <llamavision/support/aligned_bytes.hpp>

namespace llamavision {

/// Immutable once it is bound; its verbs may be called from several threads at once if the backend's kernels may.
template <configuration C, backend B>
class compiled_network final : public network {
    using V = typename C::vision;
    using T = typename C::text;
    static constexpr std::size_t kv = kv_width<T>;
    static constexpr std::size_t cross_count = T::cross_layers.size();
    static constexpr std::size_t self_count = T::layers - cross_count;
    static constexpr std::size_t tower_layers = V::layers + V::global_layers;

  public:
    /// @param tensors the checkpoint under Hugging Face's names
    /// @param formats what each part's weights are kept in; whatever the backend has no layout for stays as stored
    /// @param on_progress called after each matrix
    /// @throws mismatch_error naming every tensor that is missing, surplus or misshapen
    compiled_network(checkpoint::named_tensors tensors, B kernels, weight_formats const& formats = {},
                     progress const& on_progress = {})
        : backend_(std::move(kernels)), formats_(formats) {
        binder bind(std::move(tensors), relay());
        bind.bind(model.encoder, *encoder_);
        bind.bind(model.reader, *reader_);
        owners_ = bind.finish(on_progress);
        check_padding();
    }

    [[nodiscard]] std::string_view name() const override { return C::name; }
    [[nodiscard]] std::string_view backend_name() const override { return backend_.name(); }
    [[nodiscard]] config::numbers const& numbers() const override { return numbers_; }
    [[nodiscard]] totals size() const override { return count(model); }
    [[nodiscard]] std::string architecture() const override { return describe(model.encoder) + describe(model.reader); }

    [[nodiscard]] double image_flops(std::size_t tiles) const override { return llamavision::image_flops<C>(tiles); }
    [[nodiscard]] double read_flops(std::size_t before, std::size_t count, std::size_t image_rows) const override {
        return llamavision::read_flops<C>(before, count, image_rows);
    }

    [[nodiscard]] memory_plan plan(std::size_t rows) const override {
        vision_rows const image = plan_image(numbers_.vision, 1, V::tiles, {});
        std::size_t const features = image.kept_slots * image.tokens();
        memory_plan m;
        m.encode_scratch = encode_scratch(image, false) * sizeof(float);
        m.image = features * cross_count * 2 * kv * sizeof(float);
        m.cache_per_position = self_count * 2 * kv * sizeof(float);
        m.read_scratch = read_scratch(rows, 1, false) * sizeof(float);
        m.rows = rows;
        return m;
    }

    [[nodiscard]] std::shared_ptr<encoded_image const> encode(image::tiles const& tiles,
                                                              encode_options const& options) const override {
        check_arrangement(numbers_.vision, tiles.rows, tiles.columns);
        std::size_t const real = tiles.rows * tiles.columns, values = real * V::channels * V::tile * V::tile;
        if (tiles.side != V::tile)
            throw image_error("the model takes tiles of " + std::to_string(V::tile) + " pixels, these have "
                              + std::to_string(tiles.side));
        if (tiles.values.size() != values)
            throw image_error(std::to_string(real) + " tiles have " + std::to_string(values) + " values, these have "
                              + std::to_string(tiles.values.size()));
        std::size_t const id = config::arrangement_id(tiles.rows, tiles.columns, V::tiles);
        vision_rows plan = plan_image(numbers_.vision, tiles.rows, tiles.columns,
                                      {options.collapse_padding && padding_alike_.at(id), options.remember_padding});
        plan.tap_shift = options.taps_after_layer ? 1 : 0;

        std::size_t const scratch_size = encode_scratch(plan, bool(options.watch));
        auto const scratch = std::make_unique_for_overwrite<float[]>(scratch_size);
        arena memory({scratch.get(), scratch_size});
        auto image = std::make_shared<encoded_image>();
        encode(plan, memory, {tiles.values.data(), real, tiles.side}, options, image.get());
        image->grid_rows = tiles.rows;
        image->grid_columns = tiles.columns;
        return image;
    }

    [[nodiscard]] std::size_t read_scratch(std::size_t rows_in, std::size_t logit_rows, bool watched) const override {
        text_rows measured;
        measured.count = rows_in;
        measured.logit_rows = logit_rows;
        arena measure;
        read(measured, measure, nullptr, nullptr, measuring<read_options>(watched));
        return measure.peak();
    }

    void read(text_rows now, std::span<token const> ids, std::span<float> logits, std::span<float> scratch,
              read_options const& options) const override {
        arena memory(scratch);
        read(now, memory, ids.data(), logits.data(), options);
    }

  private:
    static constexpr auto model = mllama<C>;

    /// The backend's own layout of each weight, in memory of its own.
    layout relay() const {
        if constexpr (!lays_out_weights<B>)
            return {};
        else {
            if (formats_ == weight_formats{}) return {};
            return [this](std::string const& name, matrix const& stored) -> laid_out {
                weight_format const format = formats_.of(name, T::cross_layers);
                std::size_t const bytes = backend_.laid_out_bytes(stored, format);
                if (bytes == 0) return {};
                std::shared_ptr<std::byte> const room = aligned_bytes(bytes);
                return {backend_.lay_out(stored, format, room.get()), room};
            };
        }
    }

    /// After each layer: calls the progress of the options, and throws when their stop token asks for it.
    template <class Options>
    struct layer_counter {
        Options const& options;
        std::size_t total;
        std::size_t done = 0;

        void operator()() {
            ++done;
            if (options.on_progress) options.on_progress(done, total);
            if (options.stop.stop_requested()) throw cancelled("stopped on request");
        }
    };

    /// Options of a pass that only measures.
    template <class Options>
    static Options measuring(bool watched) {
        Options options;
        if (watched) options.watch = [](std::string_view, rows const&) {};
        return options;
    }

    std::size_t encode_scratch(vision_rows const& plan, bool watched) const {
        arena measure;
        encode(plan, measure, {nullptr, 0, V::tile}, measuring<encode_options>(watched), nullptr);
        return measure.peak();
    }

    void encode(vision_rows plan, arena& memory, pixel_tiles pixels, encode_options const& options,
                encoded_image* image) const {
        std::array<float*, V::taps.size()> taps{};
        for (float*& tap : taps) tap = memory.take(plan.rows(), V::width).data;
        plan.taps = taps;
        layer_counter<encode_options> counter{options, tower_layers};
        layer_done const on_layer = std::ref(counter);
        context c{memory};
        c.vision = &plan;
        c.watch = options.watch ? &options.watch : nullptr;
        c.on_layer = &on_layer;
        rows const features = memory.take(plan.kept_slots * plan.tokens(), T::width);
        run(backend_, model.encoder, *encoder_, c, pixels, features);
        if (!memory.measuring()) remember(plan, features, c, *image);
    }

    /// Keys and values of every cross layer, once for each picture.
    void remember(vision_rows const& plan, rows features, context& c, encoded_image& image) const {
        std::size_t const layer = 2 * features.count * kv;
        image.storage = std::make_unique_for_overwrite<float[]>(cross_count * layer);
        image.bytes = cross_count * layer * sizeof(float);
        std::size_t real = 0;
        for (std::size_t s = 0; s < plan.kept_slots; ++s) real += plan.slots[s].real ? plan.tokens() : 0;
        image.memory.rows = real;
        image.memory.padded_rows = features.count - real;
        for (std::size_t s = 0; s < plan.kept_slots; ++s)
            if (!plan.slots[s].real)
                image.memory.padded_bias.insert(image.memory.padded_bias.end(), plan.tokens(),
                                                std::log(static_cast<float>(plan.slots[s].multiplicity)));
        float* at = image.storage.get();
        walk(model.reader, *reader_, "", [&](auto node, auto const& w, std::string const& path) {
            if constexpr (requires { node.memorise(backend_, w, c, features, features, features); }) {
                c.path = path;
                rows const keys{at, features.count, kv}, values{at + layer / 2, features.count, kv};
                node.memorise(backend_, w, c, features, keys, values);
                image.memory.layers.push_back({keys.data, values.data});
                at += layer;
            }
        });
    }

    /// Padded tiles may be collapsed where the tables give all of them the same vector (zero, in converted
    /// checkpoints).
    void check_padding() {
        auto const all = config::all_arrangements(V::tiles);
        padding_alike_.assign(all.size() + 1, true);
        walk(model.encoder, *encoder_, [&](auto node, auto const& w) {
            if constexpr (requires { node.alike(w, 0, 0, 0); })
                for (std::size_t i = 0; i < all.size(); ++i) {
                    std::size_t const first = all[i].first * all[i].second;
                    for (std::size_t slot = first + 1; slot < V::tiles; ++slot)
                        if (!node.alike(w, i + 1, first, slot)) padding_alike_[i + 1] = false;
                }
        });
    }

    void read(text_rows now, arena& memory, token const* ids, float* logits, read_options const& options) const {
        layer_counter<read_options> counter{options, T::layers};
        layer_done const on_layer = std::ref(counter); // a reference fits into the function: nothing is allocated
        context c{memory};
        c.text = &now;
        c.watch = options.watch ? &options.watch : nullptr;
        c.on_layer = &on_layer;
        run(backend_, model.reader, *reader_, c, id_rows{ids, now.count}, rows{logits, now.logit_rows, T::vocabulary});
    }

    B backend_;
    weight_formats formats_;
    config::numbers numbers_ = config::numbers_of<C>();
    std::unique_ptr<weights<image_encoder<C>>> encoder_ = std::make_unique<weights<image_encoder<C>>>();
    std::unique_ptr<weights<language_model<T>>> reader_ = std::make_unique<weights<language_model<T>>>();
    std::vector<std::shared_ptr<void const>> owners_;
    std::vector<bool> padding_alike_;
};

} // namespace llamavision
