// SPDX-License-Identifier: Apache-2.0
// Hands out a tensor's bytes in pieces, so that files larger than memory can be written, and converts them to another
// type on the way.
#pragma once

#include <llamavision/checkpoint/encoding/decode.hpp>
#include <llamavision/checkpoint/encoding/quantised/dequantise.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/half.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace llamavision::checkpoint {

/// A function that receives bytes piece by piece.
using byte_sink = std::function<void(std::span<std::byte const>)>;

/// Bytes of a piece: large enough to write a disk at full speed, and small beside a large tensor.
inline constexpr std::size_t piece_bytes = std::size_t{4} << 20;

/// Values that changed when they were converted to a narrower type.
struct rounding {
    std::size_t changed = 0;  ///< values that the type does not hold exactly
    std::size_t infinite = 0; ///< those of them that were finite and became infinite

    rounding& operator+=(rounding const& other) {
        changed += other.changed;
        infinite += other.infinite;
        return *this;
    }
};

namespace detail {

/// The value of element `i`. The address need not be aligned.
template <class T>
[[nodiscard]] float element(std::byte const* bytes, std::size_t i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    return static_cast<float>(value);
}

template <class T>
[[nodiscard]] T rounded(float value) {
    if constexpr (std::is_same_v<T, float>)
        return value;
    else
        return T::round(value);
}

/// Converts `count` values of one plain type to another.
template <class From, class To>
void convert(std::byte const* from, std::byte* to, std::size_t count, rounding& lost) {
    for (std::size_t i = 0; i < count; ++i) {
        float const value = element<From>(from, i);
        To const result = rounded<To>(value);
        std::memcpy(to + i * sizeof(To), &result, sizeof(To));
        if constexpr (!std::is_same_v<To, float> && !std::is_same_v<To, From>) {
            auto const back = static_cast<float>(result);
            if (back == value || std::isnan(value)) continue;
            ++lost.changed;
            if (std::isinf(back) && !std::isinf(value)) ++lost.infinite;
        }
    }
}

template <class From>
void convert(std::byte const* from, dtype type, std::byte* to, std::size_t count, rounding& lost) {
    switch (type) {
    case dtype::f32: return convert<From, float>(from, to, count, lost);
    case dtype::f16: return convert<From, f16>(from, to, count, lost);
    default: return convert<From, bf16>(from, to, count, lost);
    }
}

inline void convert(dtype from_type, std::byte const* from, dtype type, std::byte* to, std::size_t count,
                    rounding& lost) {
    switch (from_type) {
    case dtype::f32: return convert<float>(from, type, to, count, lost);
    case dtype::f16: return convert<f16>(from, type, to, count, lost);
    default: return convert<bf16>(from, type, to, count, lost);
    }
}

} // namespace detail

/// Whether `to` can hold every value of `from`.
[[nodiscard]] constexpr bool holds_exactly(dtype from, dtype to) { return from == to || to == dtype::f32; }

namespace detail {

/// Hands the values of a quantised matrix to `sink` as `type`, a few rows at a time.
/// @pre computed_type(m, type) is `type`
inline void stream_rows(quantised_matrix const& m, dtype type, std::size_t size, byte_sink const& sink) {
    std::size_t const row = m.columns * size_of(type), rows = std::max<std::size_t>(size / row, 1);
    std::vector<std::byte> piece;
    for (std::size_t first = 0; first < m.rows; first += rows) {
        std::size_t const count = std::min(rows, m.rows - first);
        piece.resize(count * row);
        dequantise(m, first, count, type, piece);
        sink(piece);
    }
}

/// Hands the bytes of `t` to `sink` in pieces of `size` bytes; the last may be smaller. A tensor that has to be made is
/// made whole first, and its memory is freed afterwards; a quantised one is made piece by piece.
inline void stream_by(tensor const& t, std::size_t size, byte_sink const& sink) {
    if (t.stored) return stream_rows(*t.stored, t.type, size, sink);
    std::vector<std::byte> buffer;
    auto bytes = bytes_of(t, buffer);
    while (!bytes.empty()) {
        auto const piece = bytes.first(std::min(bytes.size(), size));
        sink(piece);
        bytes = bytes.subspan(piece.size());
    }
}

/// Converts the blocks of `t` to values of `type`.
inline void convert_blocks(tensor const& t, dtype type, byte_sink const& sink, rounding& lost) {
    block const unit = block_of(t.type);
    std::vector<float> values;
    std::vector<std::byte> converted;
    stream_by(t, piece_bytes / 4 / unit.values * unit.bytes, [&](std::span<std::byte const> piece) {
        values.resize(piece.size() / unit.bytes * unit.values);
        decode(t.type, piece, values.data());
        if (type == dtype::f32) return sink(std::as_bytes(std::span(values)));
        converted.resize(values.size() * size_of(type));
        convert(dtype::f32, reinterpret_cast<std::byte const*>(values.data()), type, converted.data(), values.size(),
                lost);
        sink(converted);
    });
}

} // namespace detail

/// Hands the bytes of `t` to `sink` in pieces. A tensor that has to be made is made whole first, and its memory is
/// freed afterwards.
inline void stream(tensor const& t, byte_sink const& sink) { detail::stream_by(t, piece_bytes, sink); }

/// Hands the values of `t` to `sink` as `type`, rounded to nearest, ties to even. `lost` counts values that changed. A
/// quantised matrix is computed in `type` if the library that wrote it does so.
/// @throws mismatch_error unless both types are equal, or t's type is F32, F16, BF16 or a block type and `type` is F32,
///         F16 or BF16
inline void convert(tensor const& t, dtype type, byte_sink const& sink, rounding& lost) {
    if (t.type == type) return stream(t, sink);
    if (t.stored && computed_type(*t.stored, type) == type)
        return detail::stream_rows(*t.stored, type, piece_bytes, sink);
    if (!is_plain_weight(type) || !(is_plain_weight(t.type) || is_block_type(t.type)))
        throw mismatch_error("a tensor of " + std::string(name_of(t.type)) + " cannot be written as "
                             + std::string(name_of(type)));
    if (is_block_type(t.type)) return detail::convert_blocks(t, type, sink, lost);
    std::vector<std::byte> converted;
    stream(t,
           [&](std::span<std::byte const> piece) { // pieces hold whole values: piece_bytes is a multiple of each size
               std::size_t const count = piece.size() / size_of(t.type);
               converted.resize(count * size_of(type));
               detail::convert(t.type, piece.data(), type, converted.data(), count, lost);
               sink(converted);
           });
}

} // namespace llamavision::checkpoint
