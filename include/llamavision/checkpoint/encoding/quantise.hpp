// SPDX-License-Identifier: Apache-2.0
// Converts a checkpoint's tensors to other formats, each one when its bytes are asked for; files of quantised weights
// are written from the result.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/encoding/widen.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/pages.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/thread_pool.hpp>
#include <llamavision/weights/blocks.hpp>
#include <llamavision/weights/formats.hpp>

namespace llamavision::checkpoint {

/// The wanted format of tensors, by name. Tensors that are not in it stay as they are.
using formats_of_tensors = std::map<std::string, weight_format, std::less<>>;

/// The type in which a file stores that format; empty for formats that keep the stored type.
/// @throws argument_error for i8, which no file holds
[[nodiscard]] inline std::optional<dtype> stored_type(weight_format f) {
    switch (f) {
    case weight_format::bf16: return dtype::bf16;
    case weight_format::q8: return dtype::q8_0;
    case weight_format::q4: return dtype::q4_0;
    case weight_format::i8:
        throw argument_error("weights with one scale an output (i8) are made while a model is loaded; files hold "
                             "bf16, q8 or q4");
    default: return std::nullopt;
    }
}

namespace detail {

/// Values of one piece of a conversion: a multiple of every block. Pieces may begin inside of a row.
inline constexpr std::size_t quantised_piece = 4096;

/// Converts `bytes` of type `from` to `to`. The pool's threads convert pieces.
inline void convert_on(thread_pool& pool, dtype from, std::span<std::byte const> bytes, dtype to,
                       std::span<std::byte> result) {
    std::size_t const count = bytes.size() / block_of(from).bytes * block_of(from).values;
    pool.run(ceil_div(count, quantised_piece), [&](std::size_t i) {
        std::size_t const first = i * quantised_piece, values = std::min(quantised_piece, count - first);
        auto const piece = bytes.subspan(bytes_of(from, first), bytes_of(from, values));
        std::byte* const at = result.data() + bytes_of(to, first);
        std::array<float, quantised_piece> wide;
        retype(from, piece, dtype::f32, std::as_writable_bytes(std::span(wide).first(values)));
        if (to == dtype::q8_0)
            encode_blocks<q8_0>(wide.data(), values, at);
        else if (to == dtype::q4_0)
            encode_blocks<q4_0>(wide.data(), values, at);
        else
            retype(dtype::f32, std::as_bytes(std::span(wide).first(values)), to, {at, bytes_of(to, values)});
    });
}

} // namespace detail

/// The tensors in the wanted formats. A tensor stays as it is if it has the format already, or if its rows have no
/// whole blocks. Converted bytes are made each time that they are asked for, and the pages of the file that were read
/// for them are released. Making a tensor of integers throws format_error with its name if a value is infinite or NaN.
/// @throws argument_error for i8, mismatch_error for tensors that do not hold weights
[[nodiscard]] inline named_tensors quantised(named_tensors source, formats_of_tensors const& formats,
                                             std::shared_ptr<thread_pool> const& pool) {
    for (auto& [name, value] : source.tensors) {
        auto const wanted = formats.find(name);
        if (wanted == formats.end() || value.shape.size() != 2) continue;
        auto const type = stored_type(wanted->second);
        if (!type || *type == value.type || value.shape[1] % block_of(*type).values != 0) continue;
        if (!is_plain_weight(value.type) && !is_block_type(value.type))
            throw mismatch_error("the tensor \"" + name + "\" is " + std::string(name_of(value.type))
                                 + ", which holds no weights");
        tensor converted{*type, value.shape, {}, {}};
        converted.make = [name = name, from = std::move(value), to = *type, pool](std::span<std::byte> result) {
            std::vector<std::byte> buffer;
            auto const bytes = bytes_of(from, buffer);
            try {
                detail::convert_on(*pool, from.type, bytes, to, result);
            } catch (format_error const& fault) {
                throw format_error("the tensor " + in_quotes(name) + " as " + std::string(name_of(to)) + ": "
                                   + fault.what());
            }
            if (!from.make) give_back(bytes);
        };
        value = std::move(converted);
    }
    return source;
}

/// The error of a conversion.
struct quantisation_error {
    double squares = 0; ///< sum of (converted - stored)²
    double size = 0;    ///< sum of stored²
    double most = 0;    ///< largest |converted - stored|
    double largest = 0; ///< largest |stored|
    std::size_t bytes_before = 0, bytes_after = 0;

    /// The root mean square error, relative to the tensor's root mean square; NaN if some value is.
    [[nodiscard]] double relative() const { return size == 0 ? 0 : std::sqrt(squares / size); }
    /// The largest error, relative to the largest value; NaN if some value is.
    [[nodiscard]] double worst() const { return largest == 0 ? 0 : most / largest; }
    /// The larger of two numbers; NaN if one of them is, which std::max may lose.
    [[nodiscard]] static double larger(double a, double b) { return std::isnan(a) || a >= b ? a : b; }
    quantisation_error& operator+=(quantisation_error const& other) {
        squares += other.squares;
        size += other.size;
        most = larger(most, other.most);
        largest = larger(largest, other.largest);
        bytes_before += other.bytes_before;
        bytes_after += other.bytes_after;
        return *this;
    }
};

/// The error of `converted` against `stored`, which have the same shape and types that hold weights.
[[nodiscard]] inline quantisation_error compare(tensor const& stored, tensor const& converted) {
    std::vector<std::byte> room_a, room_b;
    auto const a = bytes_of(stored, room_a), b = bytes_of(converted, room_b);
    quantisation_error e;
    e.bytes_before = a.size();
    e.bytes_after = b.size();
    std::array<float, detail::quantised_piece> was, is;
    std::size_t const count = values_of(stored);
    for (std::size_t first = 0; first < count; first += was.size()) {
        std::size_t const n = std::min(was.size(), count - first);
        auto const widen = [&](tensor const& t, std::span<std::byte const> bytes, std::span<float> to) {
            retype(t.type, bytes.subspan(bytes_of(t.type, first), bytes_of(t.type, n)), dtype::f32,
                   std::as_writable_bytes(to));
        };
        widen(stored, a, std::span(was).first(n));
        widen(converted, b, std::span(is).first(n));
        for (std::size_t i = 0; i < n; ++i) {
            double const value = static_cast<double>(was[i]), change = static_cast<double>(is[i]) - value;
            e.squares += change * change;
            e.size += value * value;
            e.most = e.larger(e.most, std::abs(change));
            e.largest = e.larger(e.largest, std::abs(value));
        }
    }
    if (!stored.make) give_back(a);
    return e;
}

} // namespace llamavision::checkpoint
