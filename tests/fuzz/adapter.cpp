// SPDX-License-Identifier: Apache-2.0
// Any text as adapter_config.json, and any names and shapes as an adapter's tensors: refused with an error of the
// library, or merged into a small model. Input: the configuration, a zero byte, a safetensors file.
#include <llamavision/checkpoint/adapter/adapter.hpp>
#include <llamavision/checkpoint/adapter/read_config.hpp>
#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace llamavision;
    using namespace llamavision::checkpoint;
    static constexpr std::array<std::byte, 32> zeros{};
    auto const bytes = std::as_bytes(std::span(data, size));
    auto const end = static_cast<std::size_t>(std::find(data, data + size, 0) - data);
    std::string_view const text(reinterpret_cast<char const*>(data), end);
    try {
        adapter with{"input", read_adapter_config(parse_json(text, "input"), "input"), {}};
        with.tensors = parse_safetensors(bytes.subspan(std::min(end + 1, size)), "input").content;
        named_tensors model;
        model.tensors["language_model.model.a.weight"] = {dtype::bf16, {4, 2}, std::span(zeros).first(16), {}};
        model.tensors["multi_modal_projector.bias"] = {dtype::f32, {2}, std::span(zeros).first(8), {}};
        for (auto const& [name, value] : merge_adapter(model, with).tensors) {
            std::vector<std::byte> room;
            static_cast<void>(checkpoint::bytes_of(value, room));
        }
    } catch (error const&) {
        return 0; // what a hostile file is for
    }
    return 0;
}
