// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file: refused with an error of the library, or read with tensors inside of the bytes.
#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/checkpoint/form/hugging_face/names.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace llamavision::checkpoint;
    auto const bytes = std::as_bytes(std::span(data, size));
    try {
        auto const read = parse_safetensors(bytes, "input");
        std::size_t covered = 0;
        for (auto const& [name, tensor] : read.content.tensors) {
            if (tensor.bytes.size() != bytes_of(tensor.shape, tensor.type)) std::abort();
            if (!tensor.bytes.empty()
                && (tensor.bytes.data() < bytes.data()
                    || tensor.bytes.data() + tensor.bytes.size() > bytes.data() + bytes.size()))
                std::abort();
            covered += tensor.bytes.size();
        }
        if (covered > size) std::abort();
        static_cast<void>(with_canonical_names(read.content, "input"));
    } catch (llamavision::error const&) {}
    return 0;
}
