// SPDX-License-Identifier: Apache-2.0
// How each kernel of the concept becomes launches; compiled once for each device.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include <llamavision/backend/cuda/dispatch/attention.hpp>
#include <llamavision/backend/cuda/dispatch/choosing.hpp>
#include <llamavision/backend/cuda/dispatch/device_backend.hpp>
#include <llamavision/backend/cuda/dispatch/layouts.hpp>
#include <llamavision/backend/cuda/dispatch/products.hpp>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/backend/cuda/kernels/norms.hpp>
#include <llamavision/backend/cuda/kernels/values.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision::gpu {

template <class Device>
std::size_t device_backend<Device>::repacked_bytes(matrix const& w, weight_format f) const {
    return gpu::repacked_bytes(repacked_at(w, f, nullptr));
}

template <class Device>
matrix device_backend<Device>::repack(matrix const& w, weight_format f, std::byte* to) const {
    lay_out_rows(w, repacked_at(w, f, to).type, [&](std::size_t at, std::span<std::byte const> bytes) {
        device_.upload(bytes.data(), bytes.size(), to + at);
    });
    return repacked_at(w, f, to);
}

template <class Device>
matrix device_backend<Device>::repacked_at(matrix const& w, weight_format f, std::byte const* at) const {
    return repacked_as(w, f, in_bf16(), at);
}

template <class Device>
void device_backend<Device>::linear(matrix const& w, float const* bias, normed const& x, std::size_t rows,
                                    float* y) const {
    multiply(w, {finish::kind::store, 1.0f, bias}, x, rows, y);
}

template <class Device>
void device_backend<Device>::fused_linear_gelu(matrix const& w, float const* bias, normed const& x, std::size_t rows,
                                               float* y) const {
    multiply(w, {finish::kind::gelu, 1.0f, bias}, x, rows, y);
}

template <class Device>
void device_backend<Device>::fused_linear_add(matrix const& w, float const* bias, float const* x, std::size_t rows,
                                              float scale, float* y) const {
    multiply(w, {finish::kind::add, scale, bias}, x, rows, y);
}

template <class Device>
void device_backend<Device>::fused_swiglu(matrix const& gate, matrix const& up, normed const& x, std::size_t rows,
                                          float* y) const {
    auto const guard = device_.lock();
    product_dispatch<Device>(device_, device_.workspace()).swiglu(gate, up, x, rows, y);
}

template <class Device>
void device_backend<Device>::fused_projections(std::span<projection const> of, normed const& x, std::size_t rows,
                                               rotation const& by) const {
    using products = product_dispatch<Device>;
    std::array<typename products::one, products::most> each{};
    for (std::size_t i = 0; i < of.size(); ++i) each[i] = {of[i].w, {}, of[i].y, of[i].rotated};
    auto const guard = device_.lock();
    products(device_, device_.workspace()).linears(std::span(each).first(of.size()), x, rows, by);
}

template <class Device>
void device_backend<Device>::embed(matrix const& table, std::int32_t const* ids, std::size_t count, float* y) const {
    visit_values(table, [&](auto values) {
        each(embed_values<decltype(values)>{{count * table.columns}, values, ids, table.columns, y});
    });
}

template <class Device>
void device_backend<Device>::widen(matrix const& w, std::size_t first, std::size_t count, float* y) const {
    visit_values(w, [&](auto values) { each(unpack_values<decltype(values), float>{{count}, values, first, y}); });
}

template <class Device>
bool device_backend<Device>::bytes_equal(matrix const& w, std::size_t a, std::size_t b, std::size_t count) const {
    std::size_t const bytes = bytes_of(w.type, count);
    std::vector<std::byte> left(bytes), right(bytes);
    auto const* const data = static_cast<std::byte const*>(w.data);
    download(data + bytes_of(w.type, a), bytes, left.data());
    download(data + bytes_of(w.type, b), bytes, right.data());
    return left == right;
}

template <class Device>
void device_backend<Device>::rms_norm(float const* x, std::size_t rows, std::size_t width, float const* weight,
                                      float eps, float* y) const {
    if (rows > 0) launch(rms_norm_rows<float>{x, width, weight, eps, y}, {rows});
}

template <class Device>
void device_backend<Device>::layer_norm(float const* x, std::size_t rows, std::size_t width, float const* weight,
                                        float const* bias, float eps, float* y) const {
    if (rows > 0) launch(layer_norm_rows<float>{x, width, weight, bias, eps, y}, {rows});
}

template <class Device>
void device_backend<Device>::silu(float const* x, std::size_t count, float* y) const {
    each(silu_values{{count}, x, y});
}

template <class Device>
void device_backend<Device>::gelu(float const* x, std::size_t count, float* y) const {
    each(gelu_values{{count}, x, y});
}

template <class Device>
void device_backend<Device>::multiply(float const* a, float const* b, std::size_t count, float* y) const {
    each(multiply_values{{count}, a, b, y});
}

template <class Device>
void device_backend<Device>::add_scaled(float const* x, float scale, float const* f, std::size_t count,
                                        float* y) const {
    each(add_values{{count}, x, f, scale, count, y});
}

template <class Device>
void device_backend<Device>::add_row(float const* x, std::size_t rows, std::size_t width, float scale, float const* f,
                                     float* y) const {
    each(add_values{{rows * width}, x, f, scale, width, y});
}

template <class Device>
void device_backend<Device>::rope(float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float const* cos,
                                  float const* sin) const {
    each(rotate_pairs{{rows * heads * (head_dim / 2)}, x, cos, sin, heads, head_dim / 2});
}

template <class Device>
void device_backend<Device>::attend(float const* q, attention_shape const& shape, std::span<query_group const> groups,
                                    float* y) const {
    auto const guard = device_.lock();
    attention_dispatch<Device>(device_, shape, q, y).attend(groups);
}

template <class Device>
std::size_t device_backend<Device>::kept_floats(attention_shape const& shape, std::size_t capacity) const {
    return ceil_div(capacity * shape.kv_heads * shape.head_dim, 32) * 16;
}

template <class Device>
void device_backend<Device>::keep(attention_shape const& shape, float const* keys, float const* values,
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

template <class Device>
void device_backend<Device>::replay(std::shared_ptr<void>& tape, std::span<std::uint64_t const> key,
                                    std::span<std::size_t const> positions, std::function<void()> const& body) const {
    if (positions.size() > set_numbers::most) return body();
    device_.replay(tape, key, positions, body);
}

template <class Device>
chosen device_backend<Device>::choose(std::shared_ptr<void>& memory, choosing const& how, float const* logits,
                                      std::size_t count) const {
    auto const guard = device_.lock();
    return choosing_dispatch<Device>(device_).choose(memory, how, logits, count);
}

template <class Device>
void device_backend<Device>::unfold(float const* x, std::size_t tiles, std::size_t channels, std::size_t side,
                                    std::size_t patch, float* y) const {
    std::size_t const across = side / patch;
    each(unfold_values{{tiles * across * across * channels * patch * patch}, x, channels, side, patch, y});
}

template <class Device>
void device_backend<Device>::interleave(float const* const* parts, std::size_t n, std::size_t rows, std::size_t width,
                                        float* y, std::size_t stride) const {
    for (std::size_t first = 0; first < n; first += interleave_values::most) {
        std::size_t const taken = std::min(interleave_values::most, n - first);
        interleave_values kernel{{rows * width * taken}, {}, taken, first, n, width, stride, y};
        std::copy_n(parts + first, taken, kernel.parts);
        each(kernel);
    }
}

template <class Device>
void device_backend<Device>::copy(float const* x, std::size_t count, float* y) const {
    auto const guard = device_.lock();
    device_.copy(x, count * sizeof(float), y);
}

template <class Device>
void device_backend<Device>::zero(float* y, std::size_t count) const {
    auto const guard = device_.lock();
    device_.zero(y, count * sizeof(float));
}

template <class Device>
void device_backend<Device>::multiply(matrix const& w, finish const& then, normed const& x, std::size_t rows,
                                      float* y) const {
    auto const guard = device_.lock();
    product_dispatch<Device>(device_, device_.workspace()).linear(w, then, x, rows, y);
}

template <class Device>
template <class Key>
void device_backend<Device>::keep_as(float const* keys, float const* values, std::size_t width,
                                     std::span<kept_rows const> places) const {
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

template <class Device>
template <class Kernel>
void device_backend<Device>::launch(Kernel const& kernel, grid blocks) const {
    auto const guard = device_.lock();
    device_.launch(kernel, blocks);
}

template <class Device>
template <class Kernel>
void device_backend<Device>::each(Kernel const& kernel) const {
    if (kernel.count > 0) launch(kernel, kernel.blocks());
}

} // namespace llamavision::gpu
