// SPDX-License-Identifier: Apache-2.0
// The simd backend: all cores and the widest vectors of the machine. Products and attention choose their instructions
// at run time (arch/targets.hpp). The other kernels use xsimd, with the instructions that the program is compiled for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision {

struct simd_options {
    std::size_t threads = 0;           ///< 0: as many as this process may use; ignored where there is a pool
    tier level = best_tier();          ///< tests choose lower ones
    std::shared_ptr<thread_pool> pool; ///< null: the backend makes its own
};

inline namespace LLAMAVISION_ARCH {

namespace blocks {
struct block_table;
}

/// A handle: copies share the pool. Any number of threads may call it at once. Working memory is borrowed from the
/// pool, which keeps at most scratch_memory::most_kept bytes of it between calls.
///
/// A row of `linear` and a query of `attend` have the same bits alone or in a batch, on any number of threads, and
/// whether kernels are fused or not. Bits differ between tiers.
class simd : private scalar { // privately: a kernel is the scalar one only where it is named here
  public:
    using scalar::bytes_equal, scalar::interleave, scalar::unfold; // they move values, at the speed of memory

    static constexpr fusion fusions =
        fusion::swiglu | fusion::linear_gelu | fusion::linear_add | fusion::norms | fusion::projections;

    explicit simd(std::size_t threads = 0) : simd(simd_options{threads, best_tier(), nullptr}) {}
    explicit simd(std::shared_ptr<thread_pool> pool) : simd(simd_options{0, best_tier(), std::move(pool)}) {}
    /// @throws error if the machine lacks the tier
    explicit simd(simd_options options);

    [[nodiscard]] std::string_view name() const { return "simd"; }
    [[nodiscard]] tier level() const { return level_; }
    /// What decides the bits of results: the tier, and the instructions that the other kernels are compiled for.
    [[nodiscard]] std::string kernels() const;
    [[nodiscard]] std::size_t threads() const { return pool_->threads(); }
    [[nodiscard]] std::shared_ptr<thread_pool> const& pool() const { return pool_; }
    [[nodiscard]] std::size_t working_memory(std::size_t rows, attention_shape const& shape, std::size_t widest) const;

    /// bf16, i8, q8 and q4 as panels, the same for every tier. q8 and q4 need rows of whole blocks; otherwise the
    /// weight stays as it is stored.
    [[nodiscard]] std::size_t repacked_bytes(matrix const& w, weight_format f) const;
    matrix repack(matrix const& w, weight_format f, std::byte* to) const;
    [[nodiscard]] static std::string_view layouts() {
        return "panels 1, blocks 1";
    } ///< a number grows when a layout changes
    [[nodiscard]] matrix repacked_at(matrix const& w, weight_format f, std::byte const* at) const;

    void linear(matrix const& w, float const* bias, normed const& x, std::size_t rows, float* y) const;

    /// y (rows, gate.rows) = silu(x gateᵀ) ⊙ (x upᵀ)
    void fused_swiglu(matrix const& gate, matrix const& up, normed const& x, std::size_t rows, float* y) const;

    /// y (rows, w.rows) = gelu(x wᵀ + bias)
    void fused_linear_gelu(matrix const& w, float const* bias, normed const& x, std::size_t rows, float* y) const;

    /// Each y (rows, w.rows) = x wᵀ, and rope where `rotated`. x is rounded once for all of them.
    void fused_projections(std::span<projection const> of, normed const& x, std::size_t rows, rotation const& by) const;

    /// y (rows, w.rows) += scale (x wᵀ + bias)
    void fused_linear_add(matrix const& w, float const* bias, float const* x, std::size_t rows, float scale,
                          float* y) const;
    void embed(matrix const& table, std::int32_t const* ids, std::size_t count, float* y) const;
    void widen(matrix const& w, std::size_t first, std::size_t count, float* y) const;
    void rms_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float eps, float* y) const;
    void layer_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float const* bias,
                    float eps, float* y) const;
    void silu(float const* x, std::size_t count, float* y) const;
    void gelu(float const* x, std::size_t count, float* y) const;
    void multiply(float const* a, float const* b, std::size_t count, float* y) const;
    void add_scaled(float const* x, float scale, float const* f, std::size_t count, float* y) const;
    void add_row(float const* x, std::size_t rows, std::size_t width, float scale, float const* f, float* y) const;
    void rope(float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float const* cos,
              float const* sin) const;
    void attend(float const* q, attention_shape const& shape, std::span<query_group const> groups, float* y) const;

    /// Keys and values in bfloat16.
    [[nodiscard]] std::size_t kept_floats(attention_shape const& shape, std::size_t capacity) const;
    void keep(attention_shape const& shape, float const* keys, float const* values,
              std::span<kept_rows const> places) const;

    void copy(float const* x, std::size_t count, float* y) const;
    void zero(float* y, std::size_t count) const;

  private:
    template <class F>
    void spread(std::size_t count, std::size_t cost, F const& f) const;
    /// Calls f(rows as floats, index of the first, how many); in pieces if they are normed
    template <class F>
    void in_pieces(normed const& x, std::size_t rows, std::size_t width, F const& f) const;

    std::shared_ptr<thread_pool> pool_;
    tier level_;
    kernel_table const* table_;
    panel_table const* panels_;
    blocks::block_table const* blocks_;
};

static_assert(backend<simd> && repacks_weights<simd> && keeps_keys<simd>);

} // namespace LLAMAVISION_ARCH
} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/backend/simd/simd.ipp>
#endif
