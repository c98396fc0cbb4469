// SPDX-License-Identifier: Apache-2.0
// Kernels whose results are independent of each other: functions of single values, rope, copies and conversions.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include <llamavision/backend/cuda/kernels/block.hpp>
#include <llamavision/backend/cuda/kernels/values.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision::gpu {

/// Kernels of `count` independent values: Kernel::at(i) computes and stores value i.
template <class Kernel>
struct for_each_value {
    static constexpr unsigned threads = 256;
    using shared = nothing;
    std::size_t count = 0;

    [[nodiscard]] grid blocks() const { return {ceil_div(count, threads)}; }

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        block.alone([&](unsigned t) {
            std::size_t const i = static_cast<std::size_t>(block.x()) * threads + t;
            if (i < count) static_cast<Kernel const&>(*this).at(i);
        });
    }
};

/// Kernels of `count` independent results: `made(i)` computes result i, and `put(i, result)` stores it, by default to
/// y[i]. A thread computes four, and stores none before it has loaded for all four: a processor waits for loads in the
/// order of the code, so more loads are in flight. @pre no result is stored where another one is read
template <class Kernel>
struct for_each_result {
    static constexpr unsigned threads = 256;
    static constexpr std::size_t at_once = 4, in_block = threads * at_once;
    using shared = nothing;
    std::size_t count = 0;

    [[nodiscard]] grid blocks() const { return {ceil_div(count, in_block)}; }

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        auto const& kernel = static_cast<Kernel const&>(*this);
        std::size_t const begin = block.x() * in_block;
        block.alone([&](unsigned t) {
            if (begin + in_block > count) {
                for (std::size_t i = begin + t; i < count; i += threads) store(kernel, i, kernel.made(i));
                return;
            }
            decltype(kernel.made(begin)) results[at_once];
            LLAMAVISION_CUDA_UNROLL
            for (std::size_t n = 0; n < at_once; ++n) results[n] = kernel.made(begin + t + n * threads);
            LLAMAVISION_CUDA_UNROLL
            for (std::size_t n = 0; n < at_once; ++n) store(kernel, begin + t + n * threads, results[n]);
        });
    }

  private:
    template <class Result>
    static LLAMAVISION_KERNEL void store(Kernel const& kernel, std::size_t i, Result const& result) {
        if constexpr (requires { kernel.put(i, result); })
            kernel.put(i, result);
        else
            kernel.y[i] = result;
    }
};

LLAMAVISION_KERNEL inline float silu_of(float x) { return x / (1.0f + expf(-x)); }
LLAMAVISION_KERNEL inline float gelu_of(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

struct silu_values : for_each_result<silu_values> {
    float const* x;
    float* y;
    [[nodiscard]] LLAMAVISION_KERNEL float made(std::size_t i) const { return silu_of(x[i]); }
};
struct gelu_values : for_each_result<gelu_values> {
    float const* x;
    float* y;
    [[nodiscard]] LLAMAVISION_KERNEL float made(std::size_t i) const { return gelu_of(x[i]); }
};
struct multiply_values : for_each_result<multiply_values> {
    float const *a, *b;
    float* y;
    [[nodiscard]] LLAMAVISION_KERNEL float made(std::size_t i) const { return a[i] * b[i]; }
};
/// y = silu(gate) · up
struct gate_values : for_each_result<gate_values> {
    float const *gate, *up;
    float* y;
    [[nodiscard]] LLAMAVISION_KERNEL float made(std::size_t i) const { return silu_of(gate[i]) * up[i]; }
};
/// y = x + scale · f, where f has `period` values, which are repeated.
struct add_values : for_each_result<add_values> {
    float const *x, *f;
    float scale;
    std::size_t period;
    float* y;
    [[nodiscard]] LLAMAVISION_KERNEL float made(std::size_t i) const { return x[i] + scale * f[i % period]; }
};

/// Rotates pair i: in row i / (heads · half), the values i % half and i % half + half of one head.
struct rotate_pairs : for_each_result<rotate_pairs> {
    float* x;
    float const *cos, *sin; ///< (rows, half)
    std::size_t heads, half;
    struct rotated {
        float a, b;
    };
    [[nodiscard]] LLAMAVISION_KERNEL float* pair(std::size_t i) const { return x + i / half * 2 * half + i % half; }
    [[nodiscard]] LLAMAVISION_KERNEL rotated made(std::size_t i) const {
        std::size_t const angle = i / half / heads * half + i % half;
        float const a = pair(i)[0], b = pair(i)[half], c = cos[angle], s = sin[angle];
        return {a * c - b * s, b * c + a * s};
    }
    LLAMAVISION_KERNEL void put(std::size_t i, rotated const& to) const {
        pair(i)[0] = to.a;
        pair(i)[half] = to.b;
    }
};

/// Value i of the patches, which are (tile, patch, channel, row in the patch, column in the patch).
struct unfold_values : for_each_value<unfold_values> {
    float const* x; ///< (tiles, channels, side, side)
    std::size_t channels, side, patch;
    float* y;
    LLAMAVISION_KERNEL void at(std::size_t i) const {
        std::size_t const column = i % patch, row = i / patch % patch, across = side / patch;
        std::size_t const channel = i / (patch * patch) % channels, p = i / (patch * patch * channels);
        std::size_t const tile = p / (across * across), within = p % (across * across);
        std::size_t const from_row = within / across * patch + row, from_column = within % across * patch + column;
        y[i] = x[((tile * channels + channel) * side + from_row) * side + from_column];
    }
};

/// y[r·stride + i·of + first + k] = value (r, i) of part k: a launch takes some of the `of` parts that are interleaved.
struct interleave_values : for_each_value<interleave_values> {
    static constexpr std::size_t most = 8;
    float const* parts[most];
    std::size_t taken, first, of, width, stride;
    float* y;
    LLAMAVISION_KERNEL void at(std::size_t i) const {
        std::size_t const k = i % taken, column = i / taken % width, row = i / taken / width;
        y[row * stride + column * of + first + k] = parts[k][row * width + column];
    }
};

/// Converts values first ... first + count - 1 of a weight to another type.
template <class Values, class To>
struct unpack_values : for_each_result<unpack_values<Values, To>> {
    Values w;
    std::size_t first;
    To* y;
    [[nodiscard]] LLAMAVISION_KERNEL To made(std::size_t i) const { return narrow<To>(w[first + i]); }
};

/// Copies the rows of a table that ids name, as floats.
template <class Values>
struct embed_values : for_each_result<embed_values<Values>> {
    Values table;
    std::int32_t const* ids;
    std::size_t columns;
    float* y;
    [[nodiscard]] LLAMAVISION_KERNEL float made(std::size_t i) const {
        return table[static_cast<std::size_t>(ids[i / columns]) * columns + i % columns];
    }
};

/// Writes keys and values of some rows to their places, in 16 bits or as floats.
template <class Key>
struct keep_values : for_each_result<keep_values<Key>> {
    static constexpr std::size_t most = 16;
    /// The input's rows from `row` on, up to the next place's, go to rows `first` and following.
    struct place {
        std::uint32_t row, first;
        Key *keys, *values;
    };
    float const *keys, *values; ///< (count / width, width)
    std::size_t width;
    std::uint32_t const* positions; ///< null, or: read when the kernel runs, in place of `first`
    std::uint32_t places;
    place to[most];
    struct kept {
        Key key, value;
    };
    [[nodiscard]] LLAMAVISION_KERNEL kept made(std::size_t i) const {
        return {narrow<Key>(keys[i]), narrow<Key>(values[i])};
    }
    LLAMAVISION_KERNEL void put(std::size_t i, kept const& of) const {
        auto const row = static_cast<std::uint32_t>(i / width);
        std::uint32_t k = 0;
        while (k + 1 < places && to[k + 1].row <= row) ++k;
        std::size_t const first = positions ? positions[k] : to[k].first;
        std::size_t const there = (first + row - to[k].row) * width + i % width;
        to[k].keys[there] = of.key;
        to[k].values[there] = of.value;
    }
};

/// Writes some numbers to the device's memory.
struct set_numbers : for_each_value<set_numbers> {
    static constexpr std::size_t most = 64;
    std::uint32_t* to;
    std::uint32_t number[most];
    LLAMAVISION_KERNEL void at(std::size_t i) const { to[i] = number[i]; }
};

/// The positions of a pass, if a launch's arguments hold so many.
inline set_numbers numbers_at(std::uint32_t* to, std::span<std::size_t const> numbers) {
    set_numbers kernel{{numbers.size()}, to, {}};
    for (std::size_t i = 0; i < numbers.size(); ++i) kernel.number[i] = static_cast<std::uint32_t>(numbers[i]);
    return kernel;
}

} // namespace llamavision::gpu
