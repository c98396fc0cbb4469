// SPDX-License-Identifier: Apache-2.0
// The backend concept on a device: which kernel is launched, with which extents, in how many blocks of threads. The
// device is a type parameter: a GPU (cuda.hpp) or, in tests, the host (tests/cuda/emulation/device.hpp).
#pragma once

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
#include <llamavision/backend/cuda/kernels/block.hpp>

namespace llamavision::gpu {

struct finish;

/// A device is a handle to memory, to a queue of launches, which are done in order, and to a library of products:
/// - name, allocate, available, upload, download, wait: the backend's own (concept.hpp);
/// - `kernels()`: a text with what decides the bits of results: the device, and the libraries;
/// - `copy(from, bytes, to)`, `zero(to, bytes)`: in its memory;
/// - `launch(kernel, grid)`, `multiply(many_rows)`;
/// - `largest`, `sort_by_score`, `add_up` of so many integers, in `library_bytes(count)` of memory;
/// - `workspace()`: memory that a kernel may use while it holds the `lock()`, which keeps its launches together;
/// - `holds(pointer)`: whether it points into memory that was allocated;
/// - `processors()`, `tensor_cores()`: how many, and what they multiply;
/// - `replay(...)`: the backend's own, and `positions()`: while calls are recorded, the positions of the pass; else
/// null.
///
/// Results have the same bits from run to run on the same device: no order of additions depends on which thread is
/// first. Bits differ between numbers of rows, and between devices with different numbers of processors.
///
/// Bodies are in device_backend.ipp, which one translation unit instantiates for its device: they know all kernels.
template <class Device>
class device_backend {
  public:
    static constexpr fusion fusions =
        fusion::swiglu | fusion::linear_gelu | fusion::linear_add | fusion::norms | fusion::projections;

    explicit device_backend(Device device) : device_(std::move(device)) {}

    [[nodiscard]] std::string_view name() const { return device_.name(); }
    [[nodiscard]] std::string kernels() const { return device_.kernels(); }
    [[nodiscard]] Device const& device() const { return device_; }

    [[nodiscard]] std::shared_ptr<std::byte> allocate(std::size_t bytes) const { return device_.allocate(bytes); }
    [[nodiscard]] std::size_t available() const { return device_.available(); }
    void upload(void const* from, std::size_t bytes, void* to) const { device_.upload(from, bytes, to); }
    void download(void const* from, std::size_t bytes, void* to) const { device_.download(from, bytes, to); }

    void wait() const { device_.wait(); }

    /// 16 bits for tensor cores, and blocks with their scales apart. `i8` is kept in 16 bits, and so is what has no
    /// whole blocks.
    [[nodiscard]] std::size_t repacked_bytes(matrix const& w, weight_format f) const;
    matrix repack(matrix const& w, weight_format f, std::byte* to) const;
    [[nodiscard]] matrix repacked_at(matrix const& w, weight_format f, std::byte const* at) const;

    void linear(matrix const& w, float const* bias, normed const& x, std::size_t rows, float* y) const;
    /// y (rows, w.rows) = gelu(x wᵀ + bias)
    void fused_linear_gelu(matrix const& w, float const* bias, normed const& x, std::size_t rows, float* y) const;
    /// y (rows, w.rows) += scale (x wᵀ + bias)
    void fused_linear_add(matrix const& w, float const* bias, float const* x, std::size_t rows, float scale,
                          float* y) const;
    /// y (rows, gate.rows) = silu(x gateᵀ) ⊙ (x upᵀ)
    void fused_swiglu(matrix const& gate, matrix const& up, normed const& x, std::size_t rows, float* y) const;
    /// Each y (rows, w.rows) = x wᵀ, and rope where `rotated`.
    void fused_projections(std::span<projection const> of, normed const& x, std::size_t rows, rotation const& by) const;

    void embed(matrix const& table, std::int32_t const* ids, std::size_t count, float* y) const;
    void widen(matrix const& w, std::size_t first, std::size_t count, float* y) const;
    [[nodiscard]] bool bytes_equal(matrix const& w, std::size_t a, std::size_t b, std::size_t count) const;

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
    /// Keys and values in 16 bits, row by row: bfloat16 if tensor cores multiply it, else f16.
    [[nodiscard]] std::size_t kept_floats(attention_shape const& shape, std::size_t capacity) const;
    /// @pre either all places are of floats, or none is
    void keep(attention_shape const& shape, float const* keys, float const* values,
              std::span<kept_rows const> places) const;

    void replay(std::shared_ptr<void>& tape, std::span<std::uint64_t const> key, std::span<std::size_t const> positions,
                std::function<void()> const& body) const;

    chosen choose(std::shared_ptr<void>& memory, choosing const& how, float const* logits, std::size_t count) const;

    void unfold(float const* x, std::size_t tiles, std::size_t channels, std::size_t side, std::size_t patch,
                float* y) const;
    void interleave(float const* const* parts, std::size_t n, std::size_t rows, std::size_t width, float* y,
                    std::size_t stride) const;
    void copy(float const* x, std::size_t count, float* y) const;
    void zero(float* y, std::size_t count) const;

  private:
    [[nodiscard]] bool in_bf16() const { return device_.tensor_cores() == cores::bf16; }
    void multiply(matrix const& w, finish const& then, normed const& x, std::size_t rows, float* y) const;
    /// As many places as a launch holds at a time. @pre the caller holds the lock
    template <class Key>
    void keep_as(float const* keys, float const* values, std::size_t width, std::span<kept_rows const> places) const;
    template <class Kernel>
    void launch(Kernel const& kernel, grid blocks) const;
    template <class Kernel>
    void each(Kernel const& kernel) const;

    Device device_;
};

} // namespace llamavision::gpu
