// SPDX-License-Identifier: Apache-2.0
// The network of one configuration on one backend: where the expression, its weights and a backend meet.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/memory.hpp>
#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/model/flops.hpp>
#include <llamavision/model/mllama.hpp>
#include <llamavision/runtime/images/encoder_identity.hpp>
#include <llamavision/runtime/images/plan.hpp>
#include <llamavision/runtime/network/memory_budget.hpp>
#include <llamavision/runtime/network/network.hpp>
#include <llamavision/runtime/network/options.hpp>
#include <llamavision/runtime/network/pass_key.hpp>
#include <llamavision/runtime/weights/measure.hpp>
#include <llamavision/runtime/weights/repacking.hpp>
#include <llamavision/runtime/weights/stages.hpp>
#include <llamavision/runtime/weights/stream.hpp>

namespace llamavision {

/// Immutable once it is bound; its verbs may be called from several threads at once if the backend's kernels may.
template <configuration C, backend B>
class compiled_network final : public network {
    using V = typename C::vision;
    using T = typename C::text;
    static constexpr std::size_t kv = kv_width<T>;
    static constexpr std::size_t cross_count = T::cross_layers.size();
    static constexpr std::size_t self_count = T::layers - cross_count;
    static constexpr std::size_t tower_depth = V::layers + V::global_layers;

  public:
    /// @param tensors the checkpoint under Hugging Face's names
    /// @throws mismatch_error naming every tensor that is missing, surplus or misshapen; memory_error with the figures,
    ///         before anything large is allocated, if weights, one picture and a conversation of a thousand tokens take
    ///         more than the room; format_error naming a tensor with a value that is infinite or no number, if it is
    ///         kept in integers; what packed_file throws
    compiled_network(checkpoint::named_tensors tensors, B kernels, network_options const& options = {})
        : backend_(std::move(kernels)), formats_(options.formats), sees_(!checkpoint::is_text_alone(tensors)),
          weight_memory_(measure_weights<C>(backend_, tensors, formats_, !options.packed.file.empty())) {
        weight_repacker<B> repack(backend_, formats_, T::cross_layers, options.packed);
        binder bind = bound(std::move(tensors), &repack);
        std::size_t left = SIZE_MAX;
        if (options.memory_budget > 0)
            left = budget_left(plan(256), options.memory_budget, owns_memory<B>, options.beyond_memory);
        if (owns_memory<B> && options.host_memory_budget > 0)
            check_host_memory(weight_memory_, options.host_memory_budget, options.beyond_memory);
        owners_ = bind.finish(options.on_repack);
        bound_ = bind.bound();
        if (sees_) check_padding();
        if (owns_memory<B> || left >= weight_memory_.mapped) return;
        layer_stages stages = stages_of(bound_, {V::layers, V::global_layers}, T::layers);
        tower_stream_ = std::make_unique<weight_stream>(std::move(stages.tower), 0);
        text_stream_ = std::make_unique<weight_stream>(std::move(stages.text), left);
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

    using network::plan;
    [[nodiscard]] memory_plan plan(std::size_t rows, std::size_t conversations) const override {
        vision_rows const image = plan_image(numbers_.vision, 1, V::tiles, {});
        std::size_t const features = image.kept_slots * image.tokens();
        memory_plan m;
        m.weights = weight_memory_;
        if (sees_) {
            m.encode_scratch = encode_scratch(image, false) * sizeof(float);
            m.image = cross_count * 2 * key_floats(features, keeps_image()) * sizeof(float);
        }
        m.cache_per_position = self_count * 2 * cache_floats(32) * sizeof(float) / 32; // kept by steps of 32 rows
        m.read_scratch = read_scratch(rows, conversations, false) * sizeof(float);
        m.rows = rows;
        m.conversations = conversations;
        return m;
    }

    [[nodiscard]] std::shared_ptr<std::byte> allocate(std::size_t bytes) const override {
        return llamavision::allocate(backend_, bytes);
    }
    void upload(std::span<std::byte const> from, std::byte* to) const override {
        llamavision::upload(backend_, from.data(), from.size(), to);
    }
    void download(std::byte const* from, std::span<std::byte> to) const override {
        llamavision::download(backend_, from, to.size(), to.data());
    }

    [[nodiscard]] bool sees() const override { return sees_; }
    [[nodiscard]] std::shared_ptr<encoded_image const> encode(image::tiles const& tiles,
                                                              encode_options const& options) const override {
        must_see();
        check_arrangement(numbers_.vision, tiles.rows, tiles.columns);
        std::size_t const real = tiles.rows * tiles.columns, values = real * V::channels * V::tile * V::tile;
        if (tiles.side != V::tile)
            throw image_error("the model takes tiles of " + std::to_string(V::tile) + " pixels, these have "
                              + std::to_string(tiles.side));
        if (tiles.values.size() != values)
            throw image_error(std::to_string(real) + " tiles have " + std::to_string(values) + " values, these have "
                              + std::to_string(tiles.values.size()));
        vision_rows const plan = plan_of(tiles.rows, tiles.columns, options);
        std::size_t const scratch_size = encode_scratch(plan, bool(options.watch));
        std::shared_ptr<std::byte> const scratch = allocate(scratch_size * sizeof(float));
        arena memory({reinterpret_cast<float*>(scratch.get()), scratch_size});
        auto image = blank(plan, tiles.rows, tiles.columns);
        encode(plan, memory, {tiles.values.data(), real, tiles.side}, options, image.get());
        return image;
    }

    [[nodiscard]] std::shared_ptr<encoded_image> blank_image(std::size_t grid_rows, std::size_t grid_columns,
                                                             encode_options const& options) const override {
        must_see();
        check_arrangement(numbers_.vision, grid_rows, grid_columns);
        return blank(plan_of(grid_rows, grid_columns, options), grid_rows, grid_columns);
    }

    [[nodiscard]] std::string encoder_identity() const override { return identified(identity_, SIZE_MAX); }
    [[nodiscard]] std::string encoder_mark() const override { return identified(mark_, 4096); } // a page

    [[nodiscard]] std::size_t read_scratch(std::size_t rows_in, std::size_t logit_rows, bool watched) const override {
        segment all; // how rows are shared out among conversations makes no difference
        all.rows = rows_in;
        all.logit_rows = logit_rows;
        text_rows measured;
        measured.segments = {&all, 1};
        arena measure;
        read(measured, measure, nullptr, measuring<read_options>(watched));
        return measure.peak();
    }

    void read(text_rows now, std::span<token const> ids, std::span<float> scratch,
              read_options const& options) const override {
        arena memory(scratch);
        read(now, memory, ids.data(), options);
    }

    [[nodiscard]] bool chooses() const override { return llamavision::chooses<B>; }
    [[nodiscard]] chosen choose([[maybe_unused]] std::shared_ptr<void>& memory, [[maybe_unused]] choosing const& how,
                                [[maybe_unused]] float const* logits) const override {
        if constexpr (llamavision::chooses<B>)
            return backend_.choose(memory, how, logits, T::vocabulary);
        else
            return {};
    }

  private:
    static constexpr auto model = mllama<C>;
    static constexpr attention_shape text_shape{T::heads, T::kv_heads, T::width / T::heads};

    struct without_weights {};
    compiled_network(without_weights, checkpoint::named_tensors tensors, B kernels)
        : backend_(std::move(kernels)), sees_(!checkpoint::is_text_alone(tensors)),
          weight_memory_(measure_weights<C>(backend_, tensors, formats_, false)) {
        static_cast<void>(bound(std::move(tensors), nullptr));
    }

    void must_see() const {
        if (!sees_) throw image_error("the checkpoint holds the text model alone, which sees no pictures");
    }

    /// The weights know their tensors, which were found to fit.
    [[nodiscard]] binder bound(checkpoint::named_tensors tensors, repacker* repack) {
        binder bind(std::move(tensors), repack);
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

    /// What flows or stands, where the kernels read it: itself, or a copy in the backend's memory from the scratch.
    template <class Value>
    Value const* there(Value const* here, std::size_t count, arena& memory) const {
        if constexpr (!owns_memory<B>)
            return here;
        else {
            float* const to = memory.take(1, (count * sizeof(Value) + sizeof(float) - 1) / sizeof(float)).data;
            if (!memory.measuring()) backend_.upload(here, count * sizeof(Value), to);
            return reinterpret_cast<Value const*>(to);
        }
    }

    /// An observer that sees activations in the host's memory.
    observer seen_here(observer const& watch) const {
        if constexpr (owns_memory<B>)
            if (watch)
                return [this, &watch, here = std::vector<float>()](std::string_view module, rows const& y) mutable {
                    here.resize(y.size());
                    backend_.download(y.data, y.size() * sizeof(float), here.data());
                    watch(module, {here.data(), y.count, y.width});
                };
        return watch;
    }

    /// After each layer: calls the progress of the options, and throws when their stop token asks for it.
    template <class Options>
    struct layer_counter {
        Options const& options;
        std::size_t total;
        weight_stream const* stream;
        std::size_t done = 0;

        void operator()() {
            ++done;
            if (stream) stream->enter(done);
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
        encode(plan, measure, {nullptr, plan.real_slots(), V::tile}, measuring<encode_options>(watched), nullptr);
        return measure.peak();
    }

    void encode(vision_rows plan, arena& memory, pixel_tiles pixels, encode_options const& options,
                encoded_image* image) const {
        std::array<float*, V::taps.size()> taps{};
        for (float*& tap : taps) tap = memory.take(plan.rows(), V::width).data;
        plan.taps = taps;
        weight_stream const* const from = memory.measuring() ? nullptr : tower_stream_.get();
        layer_counter<encode_options> counter{options, tower_depth, from};
        layer_done const on_layer = std::ref(counter);
        observer const watch = seen_here(options.watch);
        context c{memory};
        c.vision = &plan;
        c.rounded = formats_.vision != weight_format::stored;
        c.watch = watch ? &watch : nullptr;
        c.on_layer = &on_layer;
        if (!plan.bias.empty()) plan.device_bias = there(plan.bias.data(), plan.rows(), memory);
        rows const features = memory.take(plan.kept_slots * plan.tokens(), T::width);
        {
            arena::frame const frame(memory);
            pixels.data = there(pixels.data, pixels.count * V::channels * V::tile * V::tile, memory);
            if (from) from->enter(0);
            run(backend_, model.encoder, *encoder_, c, pixels, features);
        }
        remember(features, c, image);
    }

    std::string const& identified(known_identity& as, std::size_t sample) const {
        must_see();
        std::string const how = std::string(name_of(formats_.vision)) + (keeps_image() ? ", kept" : "");
        return as.get([&] { return identify_encoder<C>(backend_, how, bound_, sample); });
    }

    [[nodiscard]] vision_rows plan_of(std::size_t grid_rows, std::size_t grid_columns,
                                      encode_options const& options) const {
        std::size_t const id = config::arrangement_id(grid_rows, grid_columns, V::tiles);
        vision_rows plan = plan_image(numbers_.vision, grid_rows, grid_columns,
                                      {options.collapse_padding && equal_padding_.at(id), options.remember_padding});
        plan.tap_shift = options.taps_after_layer ? 1 : 0;
        return plan;
    }

    /// Memory for keys and values of every cross layer, each those of the real tiles' rows and then the padded ones,
    /// and for the padded rows' bias.
    [[nodiscard]] std::shared_ptr<encoded_image> blank(vision_rows const& plan, std::size_t grid_rows,
                                                       std::size_t grid_columns) const {
        auto image = std::make_shared<encoded_image>();
        image_memory& m = image->memory;
        std::vector<float> bias; // (padded rows)
        for (std::size_t s = plan.real_slots(); s < plan.kept_slots; ++s)
            bias.insert(bias.end(), plan.tokens(), std::log(static_cast<float>(plan.slots[s].multiplicity)));
        m.rows = plan.real_slots() * plan.tokens();
        m.padded_rows = bias.size();
        m.kept = keeps_image();
        std::size_t const seen = key_floats(m.rows, m.kept), all = seen + key_floats(m.padded_rows, m.kept);
        image->encoder = encoder_mark();
        image->grid_rows = grid_rows;
        image->grid_columns = grid_columns;
        image->bytes = (cross_count * 2 * all + bias.size()) * sizeof(float);
        image->storage = allocate(image->bytes);
        auto* at = reinterpret_cast<float*>(image->storage.get());
        backend_.zero(at, cross_count * 2 * all);
        for (std::size_t i = 0; i < cross_count; ++i, at += 2 * all)
            m.layers.push_back({at, at + all, at + seen, at + all + seen});
        llamavision::upload(backend_, bias.data(), bias.size() * sizeof(float), at);
        m.padded_bias = at;
        return image;
    }

    /// Keys and values of every cross layer, once for each picture.
    void remember(rows features, context& c, encoded_image* image) const {
        rows keys{nullptr, features.count, kv}, values = keys; // as floats, before they are kept
        if (keeps_image()) {
            keys = c.scratch.take(features.count, kv);
            values = c.scratch.take(features.count, kv);
        }
        if (c.measuring()) return;
        image_memory const& m = image->memory;
        std::size_t const seen = key_floats(m.rows, m.kept), all = seen + key_floats(m.padded_rows, m.kept);
        auto* at = reinterpret_cast<float*>(image->storage.get());
        walk(model.reader, *reader_, "", [&](auto node, auto const& w, std::string const& path) {
            if constexpr (requires { node.memorise(backend_, w, c, features, features, features); }) {
                c.path = path;
                if (!m.kept) {
                    keys.data = at;
                    values.data = at + all;
                }
                node.memorise(backend_, w, c, features, keys, values);
                if constexpr (keeps_keys<B>)
                    if (m.kept) {
                        keep(keys.data, values.data, m.rows, at, at + all);
                        keep(keys.data + m.rows * kv, values.data + m.rows * kv, m.padded_rows, at + seen,
                             at + all + seen);
                    }
                at += 2 * all;
            }
        });
        if constexpr (owns_memory<B>) backend_.wait(); // what fails, fails here
    }

    void keep(float const* keys, float const* values, std::size_t count, float* to_keys, float* to_values) const {
        kept_rows const place{count, 0, count, to_keys, to_values};
        if (count > 0) backend_.keep(text_shape, keys, values, {&place, 1});
    }

    /// Padded tiles may be collapsed where the tables give all of them the same vector (zero, in converted
    /// checkpoints).
    void check_padding() {
        auto const all = config::all_arrangements(V::tiles);
        equal_padding_.assign(all.size() + 1, true);
        walk(model.encoder, *encoder_, [&](auto node, auto const& w) {
            if constexpr (requires { node.bytes_equal(backend_, w, 0, 0, 0); })
                for (std::size_t i = 0; i < all.size(); ++i) {
                    std::size_t const first = all[i].first * all[i].second;
                    for (std::size_t slot = first + 1; slot < V::tiles; ++slot)
                        if (!node.bytes_equal(backend_, w, i + 1, first, slot)) equal_padding_[i + 1] = false;
                }
        });
    }

    void read(text_rows now, arena& memory, token const* ids, read_options const& options) const {
        weight_stream const* const from = memory.measuring() ? nullptr : text_stream_.get();
        layer_counter<read_options> counter{options, T::layers, from};
        if (from) from->enter(0);
        layer_done const on_layer = std::ref(counter); // a reference fits into the function: nothing is allocated
        observer const watch = seen_here(options.watch);
        constexpr std::size_t half = T::width / T::heads / 2;
        std::size_t const count = now.count();
        rows const logits = memory.take(now.logit_rows(), T::vocabulary);
        now.cos = there(now.cos, count * half, memory);
        now.sin = there(now.sin, count * half, memory);
        id_rows const id_input{there(ids, count, memory), count};
        context c{memory};
        c.text = &now;
        c.rounded = keeps_cache();
        c.watch = watch ? &watch : nullptr;
        c.on_layer = &on_layer;
        auto const pass = [&] { run(backend_, model.reader, *reader_, c, id_input, logits); };
        if (!replayed(now, c, logits, counter, pass)) pass();
        if (memory.measuring()) return;
        float const* row = logits.data;
        for (segment const& s : now.segments) {
            std::size_t const size = s.logit_rows * T::vocabulary;
            if (!s.device_logits)
                llamavision::download(backend_, row, size * sizeof(float), s.logits);
            else if (size > 0)
                backend_.copy(row + size - T::vocabulary, T::vocabulary, s.device_logits);
            row += size;
        }
    }

    /// A row of each conversation whose pass differs from the last one's in its positions alone is recorded once and
    /// then played. Layers are not told apart: progress is told once, and a stop waits for the next row.
    template <class Pass>
    bool replayed([[maybe_unused]] text_rows const& now, [[maybe_unused]] context& c, [[maybe_unused]] rows logits,
                  [[maybe_unused]] layer_counter<read_options>& counter, [[maybe_unused]] Pass const& pass) const {
        if constexpr (!replays<B>)
            return false;
        else {
            if (!now.tape || c.watch || c.measuring()) return false;
            for (segment const& s : now.segments)
                if (s.rows != 1) return false;
            set_key(*now.tape, now, {this, logits.data});
            c.on_layer = nullptr;
            backend_.replay(now.tape->recorded, now.tape->key, now.tape->positions, std::ref(pass));
            counter.done = T::layers - 1;
            counter();
            return true;
        }
    }

    B backend_;
    weight_formats formats_;
    bool sees_;
    weight_memory weight_memory_;
    config::numbers numbers_ = config::numbers_of<C>();
    std::unique_ptr<weights<image_encoder<C>>> encoder_ = std::make_unique<weights<image_encoder<C>>>();
    std::unique_ptr<weights<language_model<T>>> reader_ = std::make_unique<weights<language_model<T>>>();
    std::vector<std::shared_ptr<void const>> owners_;
    std::vector<bound_weight> bound_;
    std::vector<bool> equal_padding_;
    mutable known_identity identity_, mark_;
    std::unique_ptr<weight_stream const> tower_stream_, text_stream_; ///< null: the mapped weights fit into memory
};

} // namespace llamavision
