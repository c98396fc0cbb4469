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
#include <llamavision/checkpoint/names.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/model/flops.hpp>
#include <llamavision/model/mllama.hpp>
#include <llamavision/runtime/image_plan.hpp>
#include <llamavision/runtime/network.hpp>
#include <llamavision/runtime/weigh.hpp>
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
    /// @param room bytes that weights, one picture and a conversation of a thousand tokens may take; 0: not checked
    /// @throws mismatch_error naming every tensor that is missing, surplus or misshapen; memory_error with the figures,
    ///         before anything large is allocated
    compiled_network(checkpoint::named_tensors tensors, B kernels, weight_formats const& formats = {},
                     progress const& on_progress = {}, std::size_t room = 0)
        : backend_(std::move(kernels)), formats_(formats), sees_(!checkpoint::is_text_alone(tensors)),
          weight_memory_(weigh<C>(backend_, tensors, formats)) {
        binder bind = bound(std::move(tensors));
        if (room > 0) check_room(room);
        owners_ = bind.finish(on_progress);
        if (sees_) check_padding();
    }

    /// What the model would take, from names, types and shapes alone: no weight is read, made or laid out.
    /// @throws mismatch_error as the constructor
    [[nodiscard]] static memory_plan planned(checkpoint::named_tensors tensors, B kernels, std::size_t rows) {
        return compiled_network(without_weights{}, std::move(tensors), std::move(kernels)).plan(rows);
    }

    [[nodiscard]] std::string_view name() const override { return C::name; }
    [[nodiscard]] std::string_view backend_name() const override { return backend_.name(); }
    [[nodiscard]] config::numbers const& numbers() const override { return numbers_; }
    [[nodiscard]] totals size() const override { return count(model); }
    [[nodiscard]] std::string architecture() const override { return describe(model.encoder) + describe(model.reader); }

    [[nodiscard]] double image_flops(std::size_t tiles, bool collapsed) const override {
        return llamavision::image_flops<C>(tiles, collapsed);
    }
    [[nodiscard]] double read_flops(std::size_t before, std::size_t count, std::size_t image_rows) const override {
        return llamavision::read_flops<C>(before, count, image_rows);
    }

    [[nodiscard]] std::size_t cache_floats(std::size_t capacity) const override {
        return key_floats(capacity, keeps_cache());
    }

    [[nodiscard]] memory_plan plan(std::size_t rows) const override {
        vision_rows const image = plan_image(numbers_.vision, 1, V::tiles, {});
        std::size_t const features = image.kept_slots * image.tokens();
        memory_plan m;
        m.weights = weight_memory_;
        if (sees_) {
            m.encode_scratch = encode_scratch(image, false) * sizeof(float);
            m.image = cross_count * 2 * key_floats(features, keeps_image()) * sizeof(float);
        }
        m.cache_per_position = self_count * 2 * cache_floats(32) * sizeof(float) / 32; // kept by steps of 32 rows
        m.read_scratch = read_scratch(rows, 1, false) * sizeof(float);
        m.rows = rows;
        return m;
    }

    [[nodiscard]] bool sees() const override { return sees_; }
    [[nodiscard]] std::shared_ptr<encoded_image const> encode(image::tiles const& tiles,
                                                              encode_options const& options) const override {
        if (!sees_) throw image_error("the checkpoint holds the text model alone, which sees no pictures");
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
    static constexpr attention_shape text_shape{T::heads, T::kv_heads, T::width / T::heads};

    struct without_weights {};
    compiled_network(without_weights, checkpoint::named_tensors tensors, B kernels)
        : backend_(std::move(kernels)), sees_(!checkpoint::is_text_alone(tensors)),
          weight_memory_(weigh<C>(backend_, tensors, formats_)) {
        static_cast<void>(bound(std::move(tensors)));
    }

    /// The weights know their tensors, which were found to fit.
    [[nodiscard]] binder bound(checkpoint::named_tensors tensors) {
        binder bind(std::move(tensors), relay());
        if (sees_) bind.bind(model.encoder, *encoder_);
        bind.bind(model.reader, *reader_);
        bind.check();
        return bind;
    }

    [[nodiscard]] bool keeps_cache() const { return keeps_keys<B> && formats_.self != weight_format::stored; }
    [[nodiscard]] bool keeps_image() const { return keeps_keys<B> && formats_.cross != weight_format::stored; }
    /// Floats that the keys of so many rows of text or image take in one layer.
    [[nodiscard]] std::size_t key_floats(std::size_t rows, [[maybe_unused]] bool kept) const {
        if constexpr (keeps_keys<B>)
            if (kept) return backend_.kept_floats(text_shape, rows);
        return rows * kv;
    }

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
        c.rounded = formats_.vision != weight_format::stored;
        c.watch = options.watch ? &options.watch : nullptr;
        c.on_layer = &on_layer;
        rows const features = memory.take(plan.kept_slots * plan.tokens(), T::width);
        run(backend_, model.encoder, *encoder_, c, pixels, features);
        if (!memory.measuring()) remember(plan, features, c, *image);
    }

    /// Keys and values of every cross layer, once for each picture: those of the real tiles' rows, then the padded
    /// ones.
    void remember(vision_rows const& plan, rows features, context& c, encoded_image& image) const {
        std::size_t real = 0;
        for (std::size_t s = 0; s < plan.kept_slots; ++s) real += plan.slots[s].real ? plan.tokens() : 0;
        image_memory& m = image.memory;
        m.rows = real;
        m.padded_rows = features.count - real;
        m.kept = keeps_image();
        for (std::size_t s = 0; s < plan.kept_slots; ++s)
            if (!plan.slots[s].real)
                m.padded_bias.insert(m.padded_bias.end(), plan.tokens(),
                                     std::log(static_cast<float>(plan.slots[s].multiplicity)));
        std::size_t const seen = key_floats(real, m.kept), padded = key_floats(m.padded_rows, m.kept);
        image.bytes = cross_count * 2 * (seen + padded) * sizeof(float);
        image.storage = aligned_bytes(image.bytes);
        auto* at = reinterpret_cast<float*>(image.storage.get());
        walk(model.reader, *reader_, "", [&](auto node, auto const& w, std::string const& path) {
            if constexpr (requires { node.memorise(backend_, w, c, features, features, features); }) {
                c.path = path;
                float* const values = at + seen + padded;
                m.layers.push_back({at, values, at + seen, values + seen});
                if (m.kept)
                    keep_image(node, w, c, features, real, at, values);
                else
                    node.memorise(backend_, w, c, features, rows{at, features.count, kv},
                                  rows{values, features.count, kv});
                at += 2 * (seen + padded);
            }
        });
    }

    template <class Node, class W>
    void keep_image(Node node, W const& w, context& c, rows features, std::size_t real, float* keys,
                    float* values) const {
        if constexpr (keeps_keys<B>) {
            std::size_t const padded = features.count - real, seen = key_floats(real, true);
            auto const floats = std::make_unique_for_overwrite<float[]>(2 * features.count * kv);
            rows const k{floats.get(), features.count, kv}, v{k.data + k.size(), features.count, kv};
            node.memorise(backend_, w, c, features, k, v);
            backend_.keep(text_shape, k.data, v.data, 0, real, real, keys, values);
            if (padded)
                backend_.keep(text_shape, k.data + real * kv, v.data + real * kv, 0, padded, padded, keys + seen,
                              values + seen);
        }
    }

    void check_room(std::size_t room) const {
        memory_plan const m = plan(256);
        std::size_t const need = m.own(1000);
        auto const in_gigabytes = [](std::size_t bytes) {
            std::string const tenths = std::to_string((bytes + 50'000'000) / 100'000'000);
            return (tenths.size() > 1 ? tenths.substr(0, tenths.size() - 1) : "0") + "." + tenths.back() + " GB";
        };
        if (need > room)
            throw memory_error("the model takes " + in_gigabytes(need) + " of memory (weights "
                               + in_gigabytes(m.weights.own) + ", a picture and a conversation "
                               + in_gigabytes(need - m.weights.own) + ") and " + in_gigabytes(room)
                               + " are available; smaller formats for its weights take less");
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
        c.rounded = keeps_cache();
        c.watch = options.watch ? &options.watch : nullptr;
        c.on_layer = &on_layer;
        run(backend_, model.reader, *reader_, c, id_rows{ids, now.count}, rows{logits, now.logit_rows, T::vocabulary});
    }

    B backend_;
    weight_formats formats_;
    bool sees_;
    weight_memory weight_memory_;
    config::numbers numbers_ = config::numbers_of<C>();
    std::unique_ptr<weights<image_encoder<C>>> encoder_ = std::make_unique<weights<image_encoder<C>>>();
    std::unique_ptr<weights<language_model<T>>> reader_ = std::make_unique<weights<language_model<T>>>();
    std::vector<std::shared_ptr<void const>> owners_;
    std::vector<bool> padding_alike_;
};

} // namespace llamavision
