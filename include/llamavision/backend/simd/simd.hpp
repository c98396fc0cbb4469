// SPDX-License-Identifier: Apache-2.0
// The simd backend: all cores and the widest vectors of the machine. Products and attention choose their instruction
// set at run time (targets.hpp); the rest is xsimd in the instruction set of the compilation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/attention.hpp>
#include <llamavision/backend/simd/avx2.hpp>
#include <llamavision/backend/simd/avx512.hpp>
#include <llamavision/backend/simd/baseline.hpp>
#include <llamavision/backend/simd/blocks.hpp>
#include <llamavision/backend/simd/elementwise.hpp>
#include <llamavision/backend/simd/linear.hpp>
#include <llamavision/backend/simd/norms.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision {

struct simd_options {
    std::size_t threads = 0;           ///< 0: as many as the machine has; ignored where there is a pool
    tier level = best_tier();          ///< a lower one than the best is for tests
    std::shared_ptr<thread_pool> pool; ///< null: the backend makes its own
};

inline namespace LLAMAVISION_ARCH {

/// A handle: copies share the pool. Any number of threads may call it at once.
///
/// A row of `linear`, and a query of `attend`, has the same bits alone or in a batch, on any number of threads, and
/// from the fused kernels or their parts. Bits differ between tiers.
class simd : public scalar {
  public:
    explicit simd(std::size_t threads = 0) : simd(simd_options{threads, best_tier(), nullptr}) {}
    explicit simd(std::shared_ptr<thread_pool> pool) : simd(simd_options{0, best_tier(), std::move(pool)}) {}
    /// Throws `error` if the machine lacks the tier.
    explicit simd(simd_options options)
        : pool_(options.pool ? std::move(options.pool) : std::make_shared<thread_pool>(options.threads)),
          table_(&table_of(options.level)), blocks_(&blocks::table_of(options.level, blocks::has_vnni(options.level))) {
    }

    [[nodiscard]] std::string_view name() const { return "simd"; }
    [[nodiscard]] tier level() const { return table_->level; }
    [[nodiscard]] std::size_t threads() const { return pool_->threads(); }
    [[nodiscard]] std::shared_ptr<thread_pool> const& pool() const { return pool_; }

    /// q8 and q4 as panels, the same for every tier. Blocks ask for rows of whole blocks.
    [[nodiscard]] std::size_t laid_out_bytes(matrix const& w, weight_format f) const {
        return blocks::laid_out_bytes(w, f);
    }
    matrix lay_out(matrix const& w, weight_format f, std::byte* to) const {
        return blocks::lay_out(*pool_, *table_, w, f, to);
    }

    void linear(matrix const& w, float const* bias, float const* x, std::size_t rows, float* y) const {
        if (blocks::is_laid_out(w)) return blocks::linear(*pool_, *blocks_, w, bias, x, rows, y);
        products::parts const all(rows, w);
        pool_->run(all.count(), [&](std::size_t i) {
            products::part const p = all[i];
            products::compute(*table_, w, bias, x, p, y + p.row * w.rows + p.output, w.rows);
        });
    }

    /// y (rows, gate.rows) = silu(x gateᵀ) ⊙ (x upᵀ)
    void fused_swiglu(matrix const& gate, matrix const& up, float const* x, std::size_t rows, float* y) const {
        if (blocks::is_laid_out(gate)) return blocks::swiglu(*pool_, *blocks_, gate, up, x, rows, y);
        products::parts const all(rows, gate);
        pool_->run(all.count(), [&](std::size_t i) {
            products::part const p = all[i];
            alignas(64) float ups[products::most_outputs];
            float* const gates = y + p.row * gate.rows + p.output;
            products::compute(*table_, gate, nullptr, x, p, gates, gate.rows);
            products::compute(*table_, up, nullptr, x, p, ups, p.outputs);
            for (std::size_t r = 0; r < p.rows; ++r)
                elementwise::swiglu(gates + r * gate.rows, ups + r * p.outputs, p.outputs, gates + r * gate.rows);
        });
    }

    /// y (rows, w.rows) += scale (x wᵀ + bias)
    void fused_linear_add(matrix const& w, float const* bias, float const* x, std::size_t rows, float scale,
                          float* y) const {
        if (blocks::is_laid_out(w)) return blocks::linear_add(*pool_, *blocks_, w, bias, x, rows, scale, y);
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

    void embed(matrix const& table, std::int32_t const* ids, std::size_t count, float* y) const {
        spread(count, table.columns, [&](std::size_t first, std::size_t n) {
            for (std::size_t r = first; r < first + n; ++r)
                widen_here(table, static_cast<std::size_t>(ids[r]) * table.columns, table.columns,
                           y + r * table.columns);
        });
    }

    void widen(matrix const& w, std::size_t first, std::size_t count, float* y) const {
        spread(count, 1, [&](std::size_t from, std::size_t n) { widen_here(w, first + from, n, y + from); });
    }

    void rms_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float eps, float* y) const {
        spread(rows, width, [&](std::size_t first, std::size_t n) {
            for (std::size_t r = first; r < first + n; ++r)
                norms::rms(x + r * width, width, weight, eps, y + r * width);
        });
    }

    void layer_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float const* bias,
                    float eps, float* y) const {
        spread(rows, width, [&](std::size_t first, std::size_t n) {
            for (std::size_t r = first; r < first + n; ++r)
                norms::layer(x + r * width, width, weight, bias, eps, y + r * width);
        });
    }

    void silu(float const* x, std::size_t count, float* y) const {
        spread(count, 4, [&](std::size_t first, std::size_t n) { elementwise::silu(x + first, n, y + first); });
    }

    void gelu(float const* x, std::size_t count, float* y) const {
        spread(count, 4, [&](std::size_t first, std::size_t n) { elementwise::gelu(x + first, n, y + first); });
    }

    void multiply(float const* a, float const* b, std::size_t count, float* y) const {
        spread(count, 1,
               [&](std::size_t first, std::size_t n) { elementwise::multiply(a + first, b + first, n, y + first); });
    }

    void add_scaled(float const* x, float scale, float const* f, std::size_t count, float* y) const {
        spread(count, 1, [&](std::size_t first, std::size_t n) {
            elementwise::add_scaled(x + first, scale, f + first, n, y + first);
        });
    }

    void rope(float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float const* cos,
              float const* sin) const {
        std::size_t const half = head_dim / 2;
        spread(rows, heads * head_dim, [&](std::size_t first, std::size_t n) {
            for (std::size_t r = first; r < first + n; ++r)
                for (std::size_t h = 0; h < heads; ++h)
                    elementwise::rotate(x + (r * heads + h) * head_dim, half, cos + r * half, sin + r * half);
        });
    }

    void attend(float const* q, attention_shape const& shape, std::span<query_group const> groups, float* y) const {
        flash::attend(*pool_, *table_, q, shape, groups, y);
    }

    void copy(float const* x, std::size_t count, float* y) const {
        spread(count, 1, [&](std::size_t first, std::size_t n) { std::copy_n(x + first, n, y + first); });
    }

    void zero(float* y, std::size_t count) const {
        spread(count, 1, [&](std::size_t first, std::size_t n) { std::fill_n(y + first, n, 0.0f); });
    }

  private:
    static kernel_table const& table_of(tier level) {
        if (!available(level))
            throw error("this machine has no " + std::string(name_of(level)) + " instructions for the simd backend");
#if defined(__x86_64__)
        if (level == tier::avx512) return avx512::table;
        if (level == tier::avx2) return avx2::table;
#endif
        return baseline::table;
    }

    /// f(first, n) over all of [0, count), in chunks of about 32 Ki values where one of `count` stands for `cost`.
    template <class F>
    void spread(std::size_t count, std::size_t cost, F const& f) const {
        std::size_t const chunk = std::max<std::size_t>(1, (std::size_t{1} << 15) / std::max<std::size_t>(1, cost));
        pool_->run((count + chunk - 1) / chunk,
                   [&](std::size_t i) { f(i * chunk, std::min(chunk, count - i * chunk)); });
    }

    void widen_here(matrix const& w, std::size_t first, std::size_t count, float* y) const {
        visit(w, [&](auto values) { products::widen(*table_, values + first, count, y); });
    }

    std::shared_ptr<thread_pool> pool_;
    kernel_table const* table_;
    blocks::block_table const* blocks_;
};

static_assert(backend<simd> && fuses_swiglu<simd> && fuses_linear_add<simd> && lays_out_weights<simd>);

} // namespace LLAMAVISION_ARCH
} // namespace llamavision
