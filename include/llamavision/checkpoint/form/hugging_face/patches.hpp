// SPDX-License-Identifier: Apache-2.0
// The convolution that makes patches. PyTorch stores it as [outputs, channels, rows, columns], MLX as [outputs, rows,
// columns, channels].
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/numbers.hpp>

#include <cstddef>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// Brings the patch embedding of the tower from MLX's order to PyTorch's, if its shape is MLX's. The shapes are the
/// same only for patches of as many rows and columns as a picture has channels; then it stays.
inline void bring_patches_to_pytorch(named_tensors& tensors, config::vision_numbers const& n) {
    auto const at = tensors.tensors.find("vision_model.patch_embedding.weight");
    if (at == tensors.tensors.end() || n.patch == n.channels || at->second.shape.size() != 4) return;
    std::size_t const outputs = at->second.shape[0], places = n.patch * n.patch, channels = n.channels;
    if (at->second.shape != std::vector{outputs, n.patch, n.patch, channels}) return;
    tensor result{at->second.type, {outputs, channels, n.patch, n.patch}, {}, {}};
    result.make = [from = std::move(at->second), outputs, places, channels](std::span<std::byte> to) {
        std::vector<std::byte> buffer;
        auto const bytes = bytes_of(from, buffer);
        std::size_t const size = size_of(from.type);
        for (std::size_t o = 0; o < outputs; ++o)
            for (std::size_t place = 0; place < places; ++place)
                for (std::size_t c = 0; c < channels; ++c)
                    std::memcpy(to.data() + ((o * channels + c) * places + place) * size,
                                bytes.data() + ((o * places + place) * channels + c) * size, size);
    };
    at->second = std::move(result);
}

} // namespace llamavision::checkpoint
