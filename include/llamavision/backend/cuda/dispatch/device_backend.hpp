// SPDX-License-Identifier: Apache-2.0
// The words of the backend concept on a device: which kernel, with which extents, in how many blocks. The device is a
// type of its own, so that all of this runs on a GPU (cuda.hpp) and, in tests, on the host
// (tests/cuda/emulation/device.hpp).
#pragma once

#include <algorithm>
#include <array>
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
#include <llamavision/backend/cuda/dispatch/attention.hpp>
#include <llamavision/backend/cuda/dispatch/choosing.hpp>
#include <llamavision/backend/cuda/dispatch/layouts.hpp>
#include <llamavision/backend/cuda/dispatch/products.hpp>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/backend/cuda/kernels/norms.hpp>
#include <llamavision/backend/cuda/kernels/values.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision::gpu {

/// A device is a handle to memory, a queue of launches in order, and a library of products:
/// - name, allocate, available, upload, download, wait: the backend's own (concept.hpp);
/// - `kernels()`: all that decides the bits of results, in words: the device, and the libraries;
/// - `copy(from, bytes, to)`, `zero(to, bytes)`: in its memory;
/// - `launch(kernel, grid)`, `multiply(many_rows)`;
/// - `largest`, `sort_by_score`, `add_up` of so many integers, with `library_bytes(count)` of room;
/// - `workspace()`: memory that a word may use while it holds the `lock()`, which keeps its launches together;
/// - `holds(pointer)`: whether it points into memory that was allocated;
/// - `processors()`, `tensor_cores()`: how many, and what they multiply;
/// - `replay(...)`: the backend's own, and `positions()`: while calls are recorded, where they stand; else null.
///
/// The same bits from run to run on the same device: no sum's order depends on who comes first. Bits differ between
/// numbers of rows, and between devices of different numbers of processors.
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
    [[nodiscard]] std::size_t repacked_bytes(matrix const& w, weight_format f) const {
        return gpu::repacked_bytes(repacked_at(w, f, nullptr));
    }
    matrix repack(matrix const& w, weight_format f, std::byte* to) const {
        lay_out_rows(w, repacked_at(w, f, to).type, [&](std::size_t at, std::span<std::byte const> bytes) {
            device_.upload(bytes.data(), bytes.size(), to + at);
        });
        return repacked_at(w, f, to);
    }
    [[nodiscard]] matrix repacked_at(matrix const& w, weight_format f, std::byte const* at) const {
        return repacked_as(w, f, in_bf16(), at);
    }

    void linear(matrix const& w, float const* bias, normed const& x, std::size_t rows, float* y) const {
        multiply(w, {finish::kind::store, 1.0f, bias}, x, rows, y);
    }
    /// y (rows, w.rows) = gelu(x wᵀ + bias)
    void fused_linear_gelu(matrix const& w, float const* bias, normed const& x, std::size_t rows, float* y) const {
        multiply(w, {finish::kind::gelu, 1.0f, bias}, x, rows, y);
    }
    /// y (rows, w.rows) += scale (x wᵀ + bias)
    void fused_linear_add(matrix const& w, float const* bias, float const* x, std::size_t rows, float scale,
                          float* y) const {
        multiply(w, {finish::kind::add, scale, bias}, x, rows, y);
    }
    /// y (rows, gate.rows) = silu(x gateᵀ) ⊙ (x upᵀ)
    void fused_swiglu(matrix const& gate, matrix const& up, normed const& x, std::size_t rows, float* y) const {
        auto const guard = device_.lock();
        product_words<Device>(device_, device_.workspace()).swiglu(gate, up, x, rows, y);
    }
    /// Each y (rows, w.rows) = x wᵀ, rotated if it shall be.
    void fused_projections(std::span<projection const> of, normed const& x, std::size_t rows,
                           rotation const& by) const {
        using products = product_words<Device>;
        std::array<typename products::one, products::most> each{};
        for (std::size_t i = 0; i < of.size(); ++i) each[i] = {of[i].w, {}, of[i].y, of[i].rotated};
        auto const guard = device_.lock();
        products(device_, device_.workspace()).linears(std::span(each).first(of.size()), x, rows, by);
    }

    void embed(matrix const& table, std::int32_t const* ids, std::size_t count, float* y) const {
        visit_values(table, [&](auto values) {
            each(embed_values<decltype(values)>{{count * table.columns}, values, ids, table.columns, y});
        });
    }
    void widen(matrix const& w, std::size_t first, std::size_t count, float* y) const {
        visit_values(w, [&](auto values) { each(unpack_values<decltype(values), float>{{count}, values, first, y}); });
    }
    [[nodiscard]] bool bytes_equal(matrix const& w, std::size_t a, std::size_t b, std::size_t count) const {
        std::size_t const bytes = bytes_of(w.type, count);
        std::vector<std::byte> left(bytes), right(bytes);
        auto const* const data = static_cast<std::byte const*>(w.data);
        download(data + bytes_of(w.type, a), bytes, left.data());
        download(data + bytes_of(w.type, b), bytes, right.data());
        return left == right;
    }

    void rms_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float eps, float* y) const {
        if (rows > 0) launch(rms_norm_rows<float>{x, width, weight, eps, y}, {rows});
    }
    void layer_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float const* bias,
                    float eps, float* y) const {
        if (rows > 0) launch(layer_norm_rows<float>{x, width, weight, bias, eps, y}, {rows});
    }
    void silu(float const* x, std::size_t count, float* y) const { each(silu_values{{count}, x, y}); }
    void gelu(float const* x, std::size_t count, float* y) const { each(gelu_values{{count}, x, y}); }
    void multiply(float const* a, float const* b, std::size_t count, float* y) const {
        each(multiply_values{{count}, a, b, y});
    }
    void add_scaled(float const* x, float scale, float const* f, std::size_t count, float* y) const {
        each(add_values{{count}, x, f, scale, count, y});
    }
    void add_row(float const* x, std::size_t rows, std::size_t width, float scale, float const* f, float* y) const {
        each(add_values{{rows * width}, x, f, scale, width, y});
    }
    void rope(float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float const* cos,
              float const* sin) const {
        each(rotate_pairs{{rows * heads * (head_dim / 2)}, x, cos, sin, heads, head_dim / 2});
    }

    void attend(float const* q, attention_shape const& shape, std::span<query_group const> groups, float* y) const {
        auto const guard = device_.lock();
        attention_words<Device>(device_, shape, q, y).attend(groups);
    }
    /// Keys and values in 16 bits, row by row: bfloat16 where there are tensor cores for it, else f16.
    [[nodiscard]] std::size_t kept_floats(attention_shape const& shape, std::size_t capacity) const {
        return ceil_div(capacity * shape.kv_heads * shape.head_dim, 32) * 16;
    }
    /// @pre all places, or none, are of floats
    void keep(attention_shape const& shape, float const* keys, float const* values,
              std::span<kept_rows const> places) const {
        if (places.empty()) return;
        std::size_t const width = shape.kv_heads * shape.head_dim;
        auto const guard = device_.lock();
        if (places.front().capacity == 0)
            keep_as<float>(keys, values, width, places);
        else if (in_bf16())
            keep_as<bf16>(keys, values, width, places);
        else
            keep_as<f16>(keys, values, width, places);
    }

    void replay(std::shared_ptr<void>& tape, std::span<std::uint64_t const> key, std::span<std::size_t const> positions,
                std::function<void()> const& body) const {
        if (positions.size() > set_numbers::most) return body();
        device_.replay(tape, key, positions, body);
    }

    chosen choose(std::shared_ptr<void>& memory, choosing const& how, float const* logits, std::size_t count) const {
        auto const guard = device_.lock();
        return choosing_words<Device>(device_).choose(memory, how, logits, count);
    }

    void unfold(float const* x, std::size_t tiles, std::size_t channels, std::size_t side, std::size_t patch,
                float* y) const {
        std::size_t const across = side / patch;
        each(unfold_values{{tiles * across * across * channels * patch * patch}, x, channels, side, patch, y});
    }
    void interleave(float const* const* parts, std::size_t n, std::size_t rows, std::size_t width, float* y,
                    std::size_t stride) const {
        for (std::size_t first = 0; first < n; first += interleave_values::most) {
            std::size_t const taken = std::min(interleave_values::most, n - first);
            interleave_values kernel{{rows * width * taken}, {}, taken, first, n, width, stride, y};
            std::copy_n(parts + first, taken, kernel.parts);
            each(kernel);
        }
    }
    void copy(float const* x, std::size_t count, float* y) const {
        auto const guard = device_.lock();
        device_.copy(x, count * sizeof(float), y);
    }
    void zero(float* y, std::size_t count) const {
        auto const guard = device_.lock();
        device_.zero(y, count * sizeof(float));
    }

  private:
    [[nodiscard]] bool in_bf16() const { return device_.tensor_cores() == cores::bf16; }
    void multiply(matrix const& w, finish const& then, normed const& x, std::size_t rows, float* y) const {
        auto const guard = device_.lock();
        product_words<Device>(device_, device_.workspace()).linear(w, then, x, rows, y);
    }
    /// Places by the launch, for whoever holds the lock.
    template <class Key>
    void keep_as(float const* keys, float const* values, std::size_t width, std::span<kept_rows const> places) const {
        using kernel_of = keep_values<Key>;
        std::uint32_t const* positions = device_.positions();
        while (!places.empty()) {
            std::span<kept_rows const> const some = places.first(std::min(kernel_of::most, places.size()));
            kernel_of kernel{{0}, keys, values, width, positions, static_cast<std::uint32_t>(some.size()), {}};
            std::size_t rows = 0;
            for (std::size_t k = 0; k < some.size(); ++k) {
                kernel.to[k] = {static_cast<std::uint32_t>(rows), static_cast<std::uint32_t>(some[k].first),
                                reinterpret_cast<Key*>(some[k].keys), reinterpret_cast<Key*>(some[k].values)};
                rows += some[k].rows;
            }
            kernel.count = rows * width;
            if (kernel.count > 0) device_.launch(kernel, kernel.blocks());
            places = places.subspan(some.size());
            keys += kernel.count;
            values += kernel.count;
            if (positions) positions += some.size();
        }
    }
    template <class Kernel>
    void launch(Kernel const& kernel, grid blocks) const {
        auto const guard = device_.lock();
        device_.launch(kernel, blocks);
    }
    template <class Kernel>
    void each(Kernel const& kernel) const {
        if (kernel.count > 0) launch(kernel, kernel.blocks());
    }

    Device device_;
};

} // namespace llamavision::gpu
