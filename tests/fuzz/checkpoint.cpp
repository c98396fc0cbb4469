// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file: refused with a format_error, or read as tensors that lie within the bytes.
#include <cstdint>
#include <cstdlib>
#include <span>

#include <llamavision/checkpoint/safetensors.hpp>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const bytes = std::as_bytes(std::span(data, size));
    try {
        auto const file = llamavision::checkpoint::parse_safetensors(bytes, "fuzzed");
        for (auto const& [name, tensor] : file.content.tensors) {
            if (tensor.bytes.empty()) continue;
            if (tensor.bytes.data() < bytes.data() || tensor.bytes.size() > bytes.size()
                || tensor.bytes.data() + tensor.bytes.size() > bytes.data() + bytes.size())
                std::abort();
        }
    } catch (llamavision::format_error const&) {
        return 0; // what a hostile file is for
    }
    return 0;
}
