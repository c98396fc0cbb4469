// SPDX-License-Identifier: Apache-2.0
// Weights of any configuration without a checkpoint: random numbers, made tensor by tensor when they are bound. Speed,
// memory and arithmetic are those of real weights; the output of such a model means nothing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/model/model_of.hpp>
#include <llamavision/support/half.hpp>
#include <llamavision/support/splitmix64.hpp>

namespace llamavision {

namespace detail {

/// FNV-1a, so that a tensor's values depend on its name and the seed alone.
constexpr std::uint64_t stream_of(std::string_view name, std::uint64_t seed) {
    std::uint64_t h = 0xcbf29ce484222325u;
    for (char const c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return splitmix64(h ^ splitmix64(seed));
}

/// Fills `buffer` with bf16 values, evenly spread over ±limit; value i comes from bits 16(i mod 4) of draw i / 4.
inline void draw_bf16(std::uint64_t stream, float limit, std::span<std::byte> buffer) {
    std::size_t const count = buffer.size() / sizeof(bf16);
    float const step = limit / 32768.0f;
    for (std::size_t i = 0; i < count; i += 4) {
        std::uint64_t const draw = splitmix64(stream + (i / 4 + 1) * 0x9e3779b97f4a7c15u);
        bf16 values[4];
        for (unsigned k = 0; k < 4; ++k)
            values[k] = bf16::round(static_cast<float>(static_cast<std::int16_t>(draw >> 16 * k)) * step);
        std::memcpy(buffer.data() + i * sizeof(bf16), values, std::min<std::size_t>(4, count - i) * sizeof(bf16));
    }
}

inline void fill_bf16(float value, std::span<std::byte> buffer) {
    bf16 const one = bf16::round(value);
    for (std::size_t at = 0; at + sizeof one <= buffer.size(); at += sizeof one)
        std::memcpy(buffer.data() + at, &one, sizeof one);
}

/// A tile table, (arrangements + 1, tiles · width): slots that an arrangement leaves empty are zero, as in converted
/// checkpoints, so that padded tiles are alike.
inline void draw_tile_table(std::uint64_t stream, std::size_t tiles, std::span<std::byte> buffer) {
    auto const all = config::all_arrangements(tiles);
    std::size_t const slot = buffer.size() / (all.size() + 1) / tiles;
    draw_bf16(stream, 0.5f, buffer);
    for (std::size_t row = 0; row <= all.size(); ++row) {
        std::size_t const real = row == 0 ? 0 : all[row - 1].tiles();
        std::span<std::byte> const empty = buffer.subspan((row * tiles + real) * slot, (tiles - real) * slot);
        std::memset(empty.data(), 0, empty.size());
    }
}

/// Scaled so that activations neither vanish nor explode: variance 1/fan-in for products, one for embeddings; norms at
/// one, biases at zero, gates half open.
inline checkpoint::tensor random_tensor(weight_facts const& w, std::size_t tiles, std::uint64_t seed) {
    std::uint64_t const stream = stream_of(w.name, seed);
    checkpoint::tensor t{checkpoint::dtype::bf16, shape_of(w.kind), {}, {}};
    std::size_t const fan_in = w.kind.count() / w.kind.shape[0];
    auto const spread = [&](float deviation) {
        t.make = [=, limit = std::sqrt(3.0f) * deviation](std::span<std::byte> to) { draw_bf16(stream, limit, to); };
    };
    auto const all = [&](float value) { t.make = [=](std::span<std::byte> to) { fill_bf16(value, to); }; };
    switch (w.kind.role) {
    case weight_role::product: spread(1.0f / std::sqrt(static_cast<float>(fan_in))); break;
    case weight_role::table: spread(1.0f); break;
    case weight_role::tile_table: t.make = [=](std::span<std::byte> to) { draw_tile_table(stream, tiles, to); }; break;
    case weight_role::vector: t.make = [=](std::span<std::byte> to) { draw_bf16(stream, 1.0f, to); }; break;
    case weight_role::scale: all(1.0f); break;
    case weight_role::bias: all(0.0f); break;
    case weight_role::gate: all(0.5f); break;
    }
    return t;
}

} // namespace detail

/// All tensors of C under Hugging Face's names, in bf16; the same values for the same seed everywhere. Nothing is
/// allocated before a tensor is bound or written.
template <configuration C>
[[nodiscard]] checkpoint::named_tensors random_weights(std::uint64_t seed) {
    std::size_t const tiles = config::numbers_of<C>().vision.tiles;
    checkpoint::named_tensors all;
    for (weight_facts const& w : all_weights<model_of<C>>())
        all.tensors.emplace(w.name, detail::random_tensor(w, tiles, seed));
    return all;
}

} // namespace llamavision
