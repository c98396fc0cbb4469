// SPDX-License-Identifier: Apache-2.0
// The half of a network that reads text: ids to logits, with keys and values in the sessions' caches.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/memory.hpp>
#include <llamavision/expression/run.hpp>
#include <llamavision/model/model_of.hpp>
#include <llamavision/runtime/network/layer_facts.hpp>
#include <llamavision/runtime/network/network.hpp>
#include <llamavision/runtime/network/pass.hpp>
#include <llamavision/runtime/network/pass_key.hpp>
#include <llamavision/runtime/weights/stream.hpp>

namespace llamavision {

/// Floats that the keys of so many rows take in one layer, kept in the backend's form or as they are.
template <backend B>
[[nodiscard]] std::size_t key_floats([[maybe_unused]] B const& backend, attention_facts const& attention,
                                     std::size_t rows, [[maybe_unused]] bool kept) {
    if constexpr (keeps_keys<B>)
        if (kept) return backend.kept_floats(attention.shape, rows);
    return rows * attention.kv_width();
}

/// Immutable once its weights are bound; `read` may be called from several threads if the backend's kernels may.
template <network_model M, backend B>
class compiled_reader {
    static constexpr auto expression = M::reader;
    static constexpr attention_facts past = attention_of(M::reader, key_source::past);

  public:
    using weights_type = weights<std::remove_const_t<decltype(M::reader)>>;
    static constexpr std::size_t depth = depth_of(M::reader);

    /// @param kept whether keys and values of the text are kept in the backend's form
    compiled_reader(B const& kernels, bool kept) : backend_(kernels), kept_(keeps_keys<B> && kept) {}

    [[nodiscard]] weights_type& weights_to_bind() { return *weights_; }
    /// Logits of a row: the rows of the head that was bound.
    void set_logits(std::size_t count) { vocabulary_ = count; }
    [[nodiscard]] weights_type const& bound_weights() const { return *weights_; }
    /// From then on, mapped weights are read ahead of the layers.
    void stream(std::vector<weight_stream::stage> stages, std::size_t budget) {
        stream_ = std::make_unique<weight_stream>(std::move(stages), budget);
    }

    /// See network::cache_floats.
    [[nodiscard]] std::size_t cache_floats(std::size_t capacity) const {
        return key_floats(backend_, past, capacity, kept_);
    }
    /// Bytes of one position's keys and values in all layers.
    [[nodiscard]] std::size_t cache_per_position() const {
        return past.layers * 2 * cache_floats(32) * sizeof(float) / 32; // kept by steps of 32 rows
    }

    /// See network::read_scratch.
    [[nodiscard]] std::size_t scratch(std::size_t rows_in, std::size_t logit_rows, bool watched) const {
        segment all; // how rows are shared out among conversations makes no difference
        all.rows = rows_in;
        all.logit_rows = logit_rows;
        text_rows measured;
        measured.segments = {&all, 1};
        arena measure;
        read(measured, measure, nullptr, measuring<read_options>(watched));
        return measure.peak();
    }

    /// See network::read.
    void read(text_rows text, arena& scratch, token const* ids, read_options const& options) const {
        weight_stream const* const from = scratch.measuring() ? nullptr : stream_.get();
        layer_counter<read_options> counter{options, depth, from};
        if (from) from->enter(0);
        layer_done const on_layer = std::ref(counter); // a reference fits into the function: nothing is allocated
        observer const watch = on_host(backend_, options.watch);
        std::size_t const count = text.count(), angles = count * past.shape.head_dim / 2;
        rows const logits = scratch.take(text.logit_rows(), vocabulary_);
        text.cos = on_device(backend_, text.cos, angles, scratch);
        text.sin = on_device(backend_, text.sin, angles, scratch);
        id_rows const input{on_device(backend_, ids, count, scratch), count};
        context c{scratch};
        c.text = &text;
        c.rounded = kept_;
        c.watch = watch ? &watch : nullptr;
        c.on_layer = &on_layer;
        auto const pass = [&] { run(backend_, expression, *weights_, c, input, logits); };
        if (!replayed(text, c, logits, counter, pass)) pass();
        if (!scratch.measuring()) hand_out(text, logits);
    }

  private:
    /// Copies the logits of each segment to where it asks for them.
    void hand_out(text_rows const& text, rows logits) const {
        float const* row = logits.data;
        for (segment const& s : text.segments) {
            std::size_t const size = s.logit_rows * vocabulary_;
            if (!s.device_logits)
                llamavision::download(backend_, row, size * sizeof(float), s.logits);
            else if (size > 0)
                backend_.copy(row + size - vocabulary_, vocabulary_, s.device_logits);
            row += size;
        }
    }

    /// A pass of one row for each conversation that differs from the last one in its positions alone is recorded once
    /// and then replayed. Single layers are not seen then: progress is
    /// reported once, and a stop takes effect before the next row.
    template <class Pass>
    bool replayed([[maybe_unused]] text_rows const& text, [[maybe_unused]] context& c, [[maybe_unused]] rows logits,
                  [[maybe_unused]] layer_counter<read_options>& counter, [[maybe_unused]] Pass const& pass) const {
        if constexpr (!replays<B>)
            return false;
        else {
            if (!text.tape || c.watch || c.measuring()) return false;
            for (segment const& s : text.segments)
                if (s.rows != 1) return false;
            set_key(*text.tape, text, {this, logits.data});
            c.on_layer = nullptr;
            backend_.replay(text.tape->recorded, text.tape->key, text.tape->positions, std::ref(pass));
            counter.done = depth - 1;
            counter();
            return true;
        }
    }

    B const& backend_;
    bool kept_;
    std::size_t vocabulary_ = width_out<std::remove_const_t<decltype(M::reader)>>;
    std::unique_ptr<weights_type> weights_ = std::make_unique<weights_type>();
    std::unique_ptr<weight_stream const> stream_; ///< null: the mapped weights fit into memory
};

} // namespace llamavision
