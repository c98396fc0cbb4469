// SPDX-License-Identifier: Apache-2.0
// Slices of tensors, and tensors joined along an axis. A slice that is contiguous is a view; everything else is made
// when its bytes are asked for.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/shape_text.hpp>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// Bytes between two neighbouring indices of `axis`: the product of the extents after it, times the size of a value.
[[nodiscard]] inline std::size_t bytes_behind(tensor const& t, std::size_t axis) {
    std::size_t values = 1;
    for (std::size_t i = axis + 1; i < t.shape.size(); ++i) values *= t.shape[i];
    return bytes_of(t.type, values);
}

[[nodiscard]] inline std::size_t indices_before(tensor const& t, std::size_t axis) {
    std::size_t count = 1;
    for (std::size_t i = 0; i < axis; ++i) count *= t.shape[i];
    return count;
}

/// Copies `times` runs of `run` bytes. The runs begin `from_step` bytes apart in the source, `to_step` in the
/// destination.
inline void copy_runs(std::byte* to, std::size_t to_step, std::byte const* from, std::size_t from_step, std::size_t run,
                      std::size_t times) {
    if (run == 0) return;
    for (std::size_t i = 0; i < times; ++i) std::memcpy(to + i * to_step, from + i * from_step, run);
}

} // namespace detail

/// The part of `from` with the indices [begin, begin + count) of `axis`.
/// @pre the indices exist, and no block of a block type is cut
[[nodiscard]] inline tensor slice(tensor const& from, std::size_t axis, std::size_t begin, std::size_t count) {
    tensor result{from.type, from.shape, {}, {}};
    std::size_t const behind = detail::bytes_behind(from, axis), before = detail::indices_before(from, axis);
    std::size_t const whole = behind * from.shape[axis];
    result.shape[axis] = count;
    if (before == 1 && !from.make) {
        result.bytes = from.bytes.subspan(begin * behind, count * behind);
        return result;
    }
    result.make = [=](std::span<std::byte> to) {
        std::vector<std::byte> buffer;
        auto const bytes = bytes_of(from, buffer);
        std::size_t const run = count * behind;
        detail::copy_runs(to.data(), run, bytes.data() + begin * behind, whole, run, before);
    };
    return result;
}

/// The parts, joined along `axis` in their order. `name` is the result's name in errors.
/// @pre parts is not empty
/// @throws mismatch_error unless the parts agree in type and in all other axes
[[nodiscard]] inline tensor join(std::vector<tensor> parts, std::size_t axis, std::string const& name) {
    if (parts.size() == 1) return std::move(parts.front());
    tensor result{parts.front().type, parts.front().shape, {}, {}};
    if (axis >= result.shape.size())
        throw mismatch_error(name + ": has the shape " + shape_text(result.shape) + ", so its parts cannot be joined");
    result.shape[axis] = 0;
    for (tensor const& part : parts) {
        auto others = part.shape;
        if (axis < others.size()) others[axis] = result.shape[axis];
        if (part.type != result.type || others != result.shape)
            throw mismatch_error(name + ": the parts " + std::string(name_of(parts.front().type)) + " "
                                 + shape_text(parts.front().shape) + " and " + std::string(name_of(part.type)) + " "
                                 + shape_text(part.shape) + " do not fit together");
        result.shape[axis] += part.shape[axis];
    }
    std::size_t const behind = detail::bytes_behind(result, axis), before = detail::indices_before(result, axis);
    std::size_t const whole = behind * result.shape[axis];
    result.make = [=](std::span<std::byte> to) {
        std::vector<std::byte> buffer;
        std::size_t at = 0;
        for (tensor const& part : parts) {
            auto const bytes = bytes_of(part, buffer);
            std::size_t const run = part.shape[axis] * behind;
            detail::copy_runs(to.data() + at, whole, bytes.data(), run, run, before);
            at += run;
        }
    };
    return result;
}

} // namespace llamavision::checkpoint
