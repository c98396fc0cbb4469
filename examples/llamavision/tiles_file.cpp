// SPDX-License-Identifier: Apache-2.0
// Reads tiles, which may come from any program.
#include "tiles_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/half.hpp>

namespace lv = llamavision;

namespace program {

namespace {

template <class T>
T element(lv::checkpoint::tensor const& t, std::size_t i) {
    T value;
    std::memcpy(&value, t.bytes.data() + i * sizeof(T), sizeof(T));
    return value;
}

template <class T>
std::vector<float> floats(lv::checkpoint::tensor const& t) {
    std::vector<float> values(t.bytes.size() / sizeof(T));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(element<T>(t, i));
    return values;
}

} // namespace

lv::image::tiles read_tiles(std::filesystem::path const& path) {
    using lv::checkpoint::dtype;
    std::string const name = path.string();
    auto const file = lv::checkpoint::read_safetensors(path);
    auto const find = [&](char const* what) -> lv::checkpoint::tensor const& {
        auto const at = file.tensors.find(what);
        if (at == file.tensors.end()) throw lv::format_error(name + ": has no tensor \"" + what + "\"");
        return at->second;
    };
    auto const& pixels = find("pixel_values");
    auto const& ratio = find("aspect_ratio");
    auto const refuse = [&](std::string const& what) { throw lv::format_error(name + ": " + what); };
    bool const wide = ratio.type == dtype::i64;
    if (ratio.shape != std::vector<std::size_t>{2} || (!wide && ratio.type != dtype::i32))
        refuse("aspect_ratio must be two integers (I32 or I64), rows and columns");
    auto const side_of = [&](std::size_t i) {
        return wide ? element<std::int64_t>(ratio, i) : element<std::int32_t>(ratio, i);
    };
    std::int64_t const rows = side_of(0), columns = side_of(1);
    if (rows < 1 || columns < 1 || rows > 1024 || columns > 1024)
        refuse("an aspect_ratio of " + std::to_string(rows) + " rows and " + std::to_string(columns) + " columns");
    auto const& shape = pixels.shape;
    if (shape.size() != 4 || shape[0] != static_cast<std::size_t>(rows * columns) || shape[1] != 3
        || shape[2] != shape[3])
        refuse("pixel_values must be [" + std::to_string(rows * columns) + ", 3, side, side], as aspect_ratio says");

    lv::image::tiles tiles{static_cast<std::size_t>(rows), static_cast<std::size_t>(columns), shape[2], {}};
    switch (pixels.type) {
    case dtype::f32: tiles.values = floats<float>(pixels); break;
    case dtype::f16: tiles.values = floats<lv::f16>(pixels); break;
    case dtype::bf16: tiles.values = floats<lv::bf16>(pixels); break;
    default: refuse("pixel_values must be F32, F16 or BF16");
    }
    return tiles;
}

} // namespace program
