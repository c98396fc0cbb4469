// SPDX-License-Identifier: Apache-2.0
// The convolution of MLX's files in PyTorch's order.
#include <llamavision/checkpoint/form/hugging_face/patches.hpp>

#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <span>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

TEST_CASE("the patch embedding of MLX's files is brought to PyTorch's order") {
    constexpr std::size_t outputs = 2, patch = 4, channels = 3;
    std::vector<std::uint16_t> stored;
    for (std::size_t i = 0; i < outputs * patch * patch * channels; ++i)
        stored.push_back(static_cast<std::uint16_t>(i));
    named_tensors tensors;
    auto const name = "vision_model.patch_embedding.weight";
    auto const bytes = std::as_bytes(std::span(stored));
    tensors.tensors[name] = {dtype::bf16, {outputs, patch, patch, channels}, bytes, {}};
    config::vision_numbers numbers;
    numbers.patch = patch;
    bring_patches_to_pytorch(tensors, numbers);
    auto const& weight = tensors.tensors.at(name);
    REQUIRE(weight.shape == std::vector<std::size_t>{outputs, channels, patch, patch});
    std::vector<std::uint16_t> values(stored.size());
    weight.make(std::as_writable_bytes(std::span(values)));
    std::size_t at = 0;
    for (std::size_t o = 0; o < outputs; ++o)
        for (std::size_t c = 0; c < channels; ++c)
            for (std::size_t y = 0; y < patch; ++y)
                for (std::size_t x = 0; x < patch; ++x)
                    CHECK(values[at++] == ((o * patch + y) * patch + x) * channels + c);

    tensors.tensors[name] = {dtype::bf16, {outputs, channels, patch, patch}, bytes, {}}; // PyTorch's own
    bring_patches_to_pytorch(tensors, numbers);
    CHECK_FALSE(tensors.tensors.at(name).make);
}
