// SPDX-License-Identifier: Apache-2.0
// Weights in the cuda backend's own layout, made on the host a few rows at a time on their way to the device.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <thread>
#include <type_traits>
#include <vector>

#include <llamavision/backend/cuda/kernels/values.hpp>
#include <llamavision/weights/blocks.hpp>
#include <llamavision/weights/formats.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision::gpu {

/// What kernels see where a weight is kept in format f; its bytes, if they are repacked, are at `data`.
[[nodiscard]] constexpr matrix repacked_as(matrix const& w, weight_format f, bool bf16_cores, void const* data) {
    if (f == weight_format::stored) return {data, w.type, w.rows, w.columns, w.layout};
    bool const whole_blocks = w.columns % 32 == 0;
    format const type = whole_blocks && f == weight_format::q8   ? format::q8
                        : whole_blocks && f == weight_format::q4 ? format::q4
                        : bf16_cores                             ? format::bf16
                                                                 : format::f16;
    return {data, type, w.rows, w.columns, &for_cores};
}

/// Bytes of a matrix in the layout; 0 if it is in rows.
[[nodiscard]] constexpr std::size_t repacked_bytes(matrix const& w) {
    if (w.layout != &for_cores) return 0;
    if (w.type == format::f16 || w.type == format::bf16) return w.size() * 2;
    return integers_of(w.type, w.size()) + w.size() / 32 * sizeof(f16);
}

namespace detail {

/// Writes the integers of a block, in the order of `place_in_word`, and its scale to separate places.
inline void split(q8_0 const& block, std::uint8_t* integers, f16* scale) {
    for (std::size_t i = 0; i < 32; ++i)
        integers[i / 4 * 4 + place_in_word(i, 4)] = static_cast<std::uint8_t>(block.quants[i]);
    *scale = block.scale;
}
inline void split(q4_0 const& block, std::uint8_t* integers, f16* scale) {
    std::fill_n(integers, 16, std::uint8_t{0});
    for (std::size_t i = 0; i < 32; ++i) {
        std::size_t const place = place_in_word(i, 8);
        std::uint8_t& byte = integers[i / 8 * 4 + place / 2];
        byte = static_cast<std::uint8_t>(byte | (integer_of(block, i) + 8) << (place % 2 * 4));
    }
    *scale = block.scale;
}

/// Calls f(0) ... f(count - 1), shared among the machine's threads. If calls throw, one of the exceptions comes out.
template <class F>
void in_parallel(std::size_t count, F const& f) {
    std::size_t const threads =
        std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, std::max<std::size_t>(count, 1));
    std::vector<std::exception_ptr> thrown(threads);
    auto const share = [&](std::size_t k) {
        try {
            for (std::size_t i = count * k / threads; i < count * (k + 1) / threads; ++i) f(i);
        } catch (...) { thrown[k] = std::current_exception(); }
    };
    {
        std::vector<std::jthread> others;
        for (std::size_t k = 1; k < threads; ++k) others.emplace_back(share, k);
        share(0);
    }
    for (std::exception_ptr const& each : thrown)
        if (each) std::rethrow_exception(each);
}

template <class Block, class Put>
void lay_out_blocks(matrix const& w, format type, std::size_t rows_at_once, Put const& put) {
    constexpr format stored = std::is_same_v<Block, q8_0> ? format::q8 : format::q4;
    std::size_t const row = integers_of(type, w.columns), scales = w.columns / 32,
                      scales_at = integers_of(type, w.size());
    std::vector<std::uint8_t> integers(rows_at_once * row);
    std::vector<f16> scale(rows_at_once * scales);
    for (std::size_t r = 0; r < w.rows; r += rows_at_once) {
        std::size_t const n = std::min(rows_at_once, w.rows - r);
        in_parallel(n, [&](std::size_t i) {
            auto const to = [&](std::size_t b, Block const& block) {
                split(block, integers.data() + i * row + b * row / scales, scale.data() + i * scales + b);
            };
            if (w.type == stored) { // the blocks are as they are needed
                auto const* const blocks = static_cast<Block const*>(w.data) + (r + i) * scales;
                for (std::size_t b = 0; b < scales; ++b) to(b, blocks[b]);
            } else {
                std::vector<float> values(w.columns);
                visit(w, [&](auto from) {
                    for (std::size_t k = 0; k < w.columns; ++k)
                        values[k] = static_cast<float>(from[(r + i) * w.columns + k]);
                });
                for (std::size_t b = 0; b < scales; ++b) to(b, Block::encode(values.data() + 32 * b));
            }
        });
        put(r * row, std::as_bytes(std::span(integers).first(n * row)));
        put(scales_at + r * scales * sizeof(f16), std::as_bytes(std::span(scale).first(n * scales)));
    }
}

template <class T, class Put>
void lay_out_values(matrix const& w, std::size_t rows_at_once, Put const& put) {
    std::vector<T> values(rows_at_once * w.columns);
    for (std::size_t r = 0; r < w.rows; r += rows_at_once) {
        std::size_t const n = std::min(rows_at_once, w.rows - r) * w.columns;
        in_parallel(n / w.columns, [&](std::size_t row) {
            visit(w, [&](auto from) {
                for (std::size_t i = row * w.columns; i < (row + 1) * w.columns; ++i)
                    values[i] = T::round(static_cast<float>(from[r * w.columns + i]));
            });
        });
        put(r * w.columns * sizeof(T), std::as_bytes(std::span(values).first(n)));
    }
}

} // namespace detail

/// Calls put(place in bytes, bytes) for all of the weight, in the layout with values of that type; w lies in the host's
/// memory.
/// @throws format_error if a value that becomes an integer is infinite or no number
template <class Put>
void lay_out_rows(matrix const& w, format type, Put const& put) {
    std::size_t const rows = std::max<std::size_t>((std::size_t{1} << 23) / std::max<std::size_t>(w.columns, 1), 1);
    if (w.type == type && values_per_block(type) == 1)
        put(0, std::span(static_cast<std::byte const*>(w.data), w.size() * 2));
    else if (type == format::bf16)
        detail::lay_out_values<bf16>(w, rows, put);
    else if (type == format::f16)
        detail::lay_out_values<f16>(w, rows, put);
    else if (type == format::q8)
        detail::lay_out_blocks<q8_0>(w, type, rows, put);
    else
        detail::lay_out_blocks<q4_0>(w, type, rows, put);
}

} // namespace llamavision::gpu
