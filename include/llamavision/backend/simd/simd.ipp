// SPDX-License-Identifier: Apache-2.0
// The simd backend's kernels: which function of which tier is called, and how the work is divided among the threads.
#pragma once

#include <algorithm>
#include <string>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/blocks/products.hpp>
#include <llamavision/backend/simd/kernels/attention.hpp>
#include <llamavision/backend/simd/kernels/elementwise.hpp>
#include <llamavision/backend/simd/kernels/linear.hpp>
#include <llamavision/backend/simd/kernels/norms.hpp>
#include <llamavision/backend/simd/kernels/scratch.hpp>
#include <llamavision/backend/simd/panels/attention.hpp>
#include <llamavision/backend/simd/panels/products.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/backend/simd/tiers/amx.hpp>
#include <llamavision/backend/simd/tiers/avx2.hpp>
#include <llamavision/backend/simd/tiers/avx512.hpp>
#include <llamavision/backend/simd/tiers/avx512_bf16.hpp>
#include <llamavision/backend/simd/tiers/baseline.hpp>
#include <llamavision/backend/simd/tiers/neon.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision::inline LLAMAVISION_ARCH {

namespace simd_tables {

inline kernel_table const& kernels_of(tier level) {
    if (!available(level))
        throw error("this machine has no " + std::string(name_of(level)) + " instructions for the simd backend");
#if defined(__x86_64__)
    if (level >= tier::avx512) return avx512::table;
    if (level == tier::avx2) return avx2::table;
#endif
    return baseline::table;
}

inline bool is_in_panels(matrix const& w) { return w.layout == &panels::bf16_panels || w.layout == &panels::i8_panels; }

inline panel_table const& panels_of(tier level) {
#if defined(__x86_64__)
    if (level == tier::amx) return amx::table;
    if (level == tier::avx512_bf16) return avx512_bf16::table;
    if (level == tier::avx512) {
        static constexpr panel_table bytes_by_avx2 = [] {
            panel_table t = avx512::wide_panels;
            t.biased = false;
            t.multiply_i8 = &avx2::multiply_i8;
            return t;
        }();
        return bytes_by_avx2;
    }
    if (level == tier::avx2) return avx2::panels_table;
#elif defined(__aarch64__)
    if (level == tier::neon_bf16) return neon_bf16::panels_table;
    if (level == tier::neon_i8mm) return neon_i8mm::panels_table;
    if (level == tier::neon_dot) return neon_dot::panels_table;
    return neon::panels_table;
#endif
    return baseline::wide_panels;
}

} // namespace simd_tables

LLAMAVISION_INLINE simd::simd(simd_options options)
    : pool_(options.pool ? std::move(options.pool) : std::make_shared<thread_pool>(options.threads)),
      level_(options.level), table_(&simd_tables::kernels_of(options.level)),
      panels_(&simd_tables::panels_of(options.level)),
      blocks_(&blocks::table_of(options.level, blocks::has_vnni(options.level))) {}

LLAMAVISION_INLINE std::string simd::kernels() const {
    return std::string(name_of(level_)) + (blocks::has_vnni(level_) ? " with vnni, " : ", ")
           + xsimd::default_arch::name();
}

/// One call borrows the most for attention, whose keys and values become bf16, or for products, whose rows become
/// integers with a scale for 32 of them, or floats. A thread keeps some rows, and the tiles of a part.
LLAMAVISION_INLINE std::size_t simd::working_memory(std::size_t rows, attention_shape const& shape,
                                                    std::size_t widest) const {
    std::size_t const columns = round_up(widest, panels::i8_step), filled = round_up(rows, panels::side);
    std::size_t const attention = 2 * kept_floats(shape, rows) * sizeof(float) + 4096,
                      of_blocks = filled * columns * (blocks::length + sizeof(blocks::term)) / blocks::length,
                      of_rows = std::min(filled * columns * sizeof(float), std::size_t{8} << 20);
    std::size_t const of_thread = std::min(filled, panels::side) * columns * sizeof(float);
    return std::min(std::max({attention, of_blocks, of_rows}), memory_lender::most_kept) + threads() * of_thread;
}

/// Calls f(first, n) for all of [0, count), in chunks of about 32 Ki values; each of `count` is `cost` values.
template <class F>
void simd::spread(std::size_t count, std::size_t cost, F const& f) const {
    std::size_t const chunk = std::max<std::size_t>(1, (std::size_t{1} << 15) / std::max<std::size_t>(1, cost));
    pool_->run(ceil_div(count, chunk), [&](std::size_t i) { f(i * chunk, std::min(chunk, count - i * chunk)); });
}

LLAMAVISION_INLINE std::size_t simd::repacked_bytes(matrix const& w, weight_format f) const {
    if (blocks::is_block_format(f)) return blocks::repacked_bytes(w, f);
    return f == weight_format::bf16 ? panels::bytes(w.rows, w.columns)
           : f == weight_format::i8 ? panels::i8_bytes(w.rows, w.columns)
                                    : 0;
}

LLAMAVISION_INLINE matrix simd::repack(matrix const& w, weight_format f, std::byte* to) const {
    if (blocks::is_block_format(f)) return blocks::repack(*pool_, *table_, w, f, to);
    bool const integers = f == weight_format::i8;
    std::size_t const panel = ceil_div(w.columns, integers ? panels::i8_step : panels::step) * panels::tile;
    std::size_t const count = ceil_div(w.rows, panels::side);
    auto* const scales = reinterpret_cast<float*>(to + count * panel);
    auto* const sums = reinterpret_cast<std::int32_t*>(scales + count * panels::side);
    pool_->run(count, [&](std::size_t i) {
        std::byte* const at = to + i * panel;
        if (integers)
            panels::pack_i8(*table_, w, i, reinterpret_cast<std::int8_t*>(at), scales + i * panels::side,
                            sums + i * panels::side);
        else
            panels::pack(*table_, w, i, reinterpret_cast<bf16*>(at));
    });
    return repacked_at(w, f, to);
}

LLAMAVISION_INLINE matrix simd::repacked_at(matrix const& w, weight_format f, std::byte const* at) const {
    switch (f) {
    case weight_format::q8: return {at, format::q8, w.rows, w.columns, &blocks::block_panels};
    case weight_format::q4: return {at, format::q4, w.rows, w.columns, &blocks::block_panels};
    case weight_format::i8: return {at, format::f32, w.rows, w.columns, &panels::i8_panels};
    default: return {at, format::bf16, w.rows, w.columns, &panels::bf16_panels};
    }
}

template <class F>
void simd::in_pieces(normed const& x, std::size_t rows, std::size_t width, F const& f) const {
    if (!x.weight) return f(x.x, 0, rows);
    std::size_t const most = std::max<std::size_t>(1, (std::size_t{1} << 20) / std::max<std::size_t>(1, width));
    auto const memory = pool_->lend(std::min(most, rows) * width * sizeof(float));
    for (std::size_t from = 0; from < rows; from += most) {
        std::size_t const now = std::min(most, rows - from);
        auto* const buffer = reinterpret_cast<float*>(memory.data());
        spread(now, width, [&](std::size_t first, std::size_t n) {
            norms::read(x, width, from + first, n, buffer + first * width);
        });
        f(buffer, from, now);
    }
}

LLAMAVISION_INLINE void simd::linear(matrix const& w, float const* bias, normed const& x, std::size_t rows,
                                     float* y) const {
    if (blocks::is_in_panels(w)) return blocks::linear(*pool_, *blocks_, w, bias, x, rows, y);
    if (simd_tables::is_in_panels(w)) {
        panels::product const one{&w, nullptr, {finish::plain, bias, 1, y}};
        return panels::compute(*pool_, *panels_, {&one, 1}, x, &norms::read, rows);
    }
    in_pieces(x, rows, w.columns, [&](float const* from, std::size_t first, std::size_t n) {
        products::parts const all(n, w);
        pool_->run(all.count(), [&](std::size_t i) {
            products::part const p = all[i];
            products::compute(*table_, w, bias, from, p, y + (first + p.row) * w.rows + p.output, w.rows);
        });
    });
}

LLAMAVISION_INLINE void simd::fused_projections(std::span<projection const> of, normed const& x, std::size_t rows,
                                                rotation const& by) const {
    matrix const& w = of[0].w;
    bool const alike = std::all_of(of.begin(), of.end(), [&](projection const& p) { return p.w.is_stored_as(w); });
    if (alike && blocks::is_in_panels(w)) {
        blocks::rounded const its(*blocks_, w, *pool_, x, rows);
        for (projection const& p : of) blocks::linear(*pool_, *blocks_, p.w, nullptr, its, rows, p.y);
    } else if (alike && simd_tables::is_in_panels(w)) {
        panels::product all[3];
        for (std::size_t i = 0; i < of.size(); ++i) all[i] = {&of[i].w, nullptr, {finish::plain, nullptr, 1, of[i].y}};
        panels::compute(*pool_, *panels_, {all, of.size()}, x, &norms::read, rows);
    } else
        in_pieces(x, rows, w.columns, [&](float const* from, std::size_t first, std::size_t n) {
            for (projection const& p : of) linear(p.w, nullptr, from, n, p.y + first * p.w.rows);
        });
    for (projection const& p : of)
        if (p.rotated) rope(p.y, rows, p.w.rows / by.head_dim, by.head_dim, by.cos, by.sin);
}

LLAMAVISION_INLINE void simd::fused_swiglu(matrix const& gate, matrix const& up, normed const& x, std::size_t rows,
                                           float* y) const {
    if (blocks::is_in_panels(gate)) return blocks::swiglu(*pool_, *blocks_, gate, up, x, rows, y);
    if (simd_tables::is_in_panels(gate) && up.is_stored_as(gate)) {
        panels::product const both{&gate, &up, {finish::gated, nullptr, 1, y}};
        return panels::compute(*pool_, *panels_, {&both, 1}, x, &norms::read, rows);
    }
    in_pieces(x, rows, gate.columns, [&](float const* from, std::size_t first, std::size_t n) {
        products::parts const all(n, gate);
        pool_->run(all.count(), [&](std::size_t i) {
            products::part const p = all[i];
            alignas(64) float ups[products::most_outputs];
            float* const gates = y + (first + p.row) * gate.rows + p.output;
            products::compute(*table_, gate, nullptr, from, p, gates, gate.rows);
            products::compute(*table_, up, nullptr, from, p, ups, p.outputs);
            for (std::size_t r = 0; r < p.rows; ++r)
                elementwise::swiglu(gates + r * gate.rows, ups + r * p.outputs, p.outputs, gates + r * gate.rows);
        });
    });
}

LLAMAVISION_INLINE void simd::fused_linear_gelu(matrix const& w, float const* bias, normed const& x, std::size_t rows,
                                                float* y) const {
    if (simd_tables::is_in_panels(w)) {
        panels::product const one{&w, nullptr, {finish::activated, bias, 1, y}};
        return panels::compute(*pool_, *panels_, {&one, 1}, x, &norms::read, rows);
    }
    linear(w, bias, x, rows, y);
    gelu(y, rows * w.rows, y);
}

LLAMAVISION_INLINE void simd::fused_linear_add(matrix const& w, float const* bias, float const* x, std::size_t rows,
                                               float scale, float* y) const {
    if (blocks::is_in_panels(w)) return blocks::linear_add(*pool_, *blocks_, w, bias, x, rows, scale, y);
    if (simd_tables::is_in_panels(w)) {
        panels::product const one{&w, nullptr, {finish::added, bias, scale, y}};
        return panels::compute(*pool_, *panels_, {&one, 1}, x, &norms::read, rows);
    }
    products::parts const all(rows, w);
    pool_->run(all.count(), [&](std::size_t i) {
        products::part const p = all[i];
        alignas(64) float f[products::most_outputs];
        products::compute(*table_, w, bias, x, p, f, p.outputs);
        float* const to = y + p.row * w.rows + p.output;
        for (std::size_t r = 0; r < p.rows; ++r)
            elementwise::add_scaled(to + r * w.rows, scale, f + r * p.outputs, p.outputs, to + r * w.rows);
    });
}

LLAMAVISION_INLINE void simd::embed(matrix const& table, std::int32_t const* ids, std::size_t count, float* y) const {
    spread(count, table.columns, [&](std::size_t first, std::size_t n) {
        for (std::size_t r = first; r < first + n; ++r)
            products::widen(*table_, table, static_cast<std::size_t>(ids[r]) * table.columns, table.columns,
                            y + r * table.columns);
    });
}

LLAMAVISION_INLINE void simd::widen(matrix const& w, std::size_t first, std::size_t count, float* y) const {
    spread(count, 1, [&](std::size_t from, std::size_t n) { products::widen(*table_, w, first + from, n, y + from); });
}

LLAMAVISION_INLINE void simd::rms_norm(float const* x, std::size_t rows, std::size_t width, float const* weight,
                                       float eps, float* y) const {
    spread(rows, width, [&](std::size_t first, std::size_t n) {
        for (std::size_t r = first; r < first + n; ++r) norms::rms(x + r * width, width, weight, eps, y + r * width);
    });
}

LLAMAVISION_INLINE void simd::layer_norm(float const* x, std::size_t rows, std::size_t width, float const* weight,
                                         float const* bias, float eps, float* y) const {
    spread(rows, width, [&](std::size_t first, std::size_t n) {
        for (std::size_t r = first; r < first + n; ++r)
            norms::layer(x + r * width, width, weight, bias, eps, y + r * width);
    });
}

LLAMAVISION_INLINE void simd::silu(float const* x, std::size_t count, float* y) const {
    spread(count, 4, [&](std::size_t first, std::size_t n) { elementwise::silu(x + first, n, y + first); });
}

LLAMAVISION_INLINE void simd::gelu(float const* x, std::size_t count, float* y) const {
    spread(count, 4, [&](std::size_t first, std::size_t n) { elementwise::gelu(x + first, n, y + first); });
}

LLAMAVISION_INLINE void simd::multiply(float const* a, float const* b, std::size_t count, float* y) const {
    spread(count, 1,
           [&](std::size_t first, std::size_t n) { elementwise::multiply(a + first, b + first, n, y + first); });
}

LLAMAVISION_INLINE void simd::add_scaled(float const* x, float scale, float const* f, std::size_t count,
                                         float* y) const {
    spread(count, 1, [&](std::size_t first, std::size_t n) {
        elementwise::add_scaled(x + first, scale, f + first, n, y + first);
    });
}

LLAMAVISION_INLINE void simd::add_row(float const* x, std::size_t rows, std::size_t width, float scale, float const* f,
                                      float* y) const {
    spread(rows, width, [&](std::size_t first, std::size_t n) {
        for (std::size_t r = first; r < first + n; ++r)
            elementwise::add_scaled(x + r * width, scale, f, width, y + r * width);
    });
}

LLAMAVISION_INLINE void simd::rope(float* x, std::size_t rows, std::size_t heads, std::size_t head_dim,
                                   float const* cos, float const* sin) const {
    std::size_t const half = head_dim / 2;
    spread(rows, heads * head_dim, [&](std::size_t first, std::size_t n) {
        for (std::size_t r = first; r < first + n; ++r)
            for (std::size_t h = 0; h < heads; ++h)
                elementwise::rotate(x + (r * heads + h) * head_dim, half, cos + r * half, sin + r * half);
    });
}

LLAMAVISION_INLINE void simd::attend(float const* q, attention_shape const& shape, std::span<query_group const> groups,
                                     float* y) const {
    bool rounded = shape.rounded;
    for (query_group const& g : groups)
        for (key_block const& b : g.blocks) rounded = rounded || b.capacity != 0;
    if (rounded)
        panels::attend(*pool_, *panels_, q, shape, groups, y);
    else
        flash::attend(*pool_, *table_, q, shape, groups, y);
}

LLAMAVISION_INLINE std::size_t simd::kept_floats(attention_shape const& shape, std::size_t capacity) const {
    return panels::kept_layout(shape, capacity).size() / 2;
}

LLAMAVISION_INLINE void simd::keep(attention_shape const& shape, float const* keys, float const* values,
                                   std::span<kept_rows const> places) const {
    std::size_t at = 0;
    for (kept_rows const& p : places) {
        panels::keep(*pool_, *panels_, shape, keys + at, values + at, p.first, p.rows, p.capacity,
                     reinterpret_cast<bf16*>(p.keys), reinterpret_cast<bf16*>(p.values));
        at += p.rows * shape.kv_heads * shape.head_dim;
    }
}

LLAMAVISION_INLINE void simd::copy(float const* x, std::size_t count, float* y) const {
    spread(count, 1, [&](std::size_t first, std::size_t n) { std::copy_n(x + first, n, y + first); });
}

LLAMAVISION_INLINE void simd::zero(float* y, std::size_t count) const {
    spread(count, 1, [&](std::size_t first, std::size_t n) { std::fill_n(y + first, n, 0.0f); });
}

} // namespace llamavision::LLAMAVISION_ARCH
