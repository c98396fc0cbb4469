// SPDX-License-Identifier: Apache-2.0
// Any text as quantization_config, and any tensors as those of quantised modules: refused with an error of the library,
// or dequantised. Input: the configuration, a zero byte, a safetensors file.
#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/checkpoint/encoding/convert.hpp>
#include <llamavision/checkpoint/encoding/quantised/join.hpp>
#include <llamavision/checkpoint/encoding/quantised/summary.hpp>
#include <llamavision/checkpoint/model_config.hpp>
#include <llamavision/support/json.hpp>

#include "attempt.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace llamavision;
    using namespace llamavision::checkpoint;
    auto const bytes = std::as_bytes(std::span(data, size));
    auto const end = static_cast<std::size_t>(std::find(data, data + size, 0) - data);
    std::string const text(reinterpret_cast<char const*>(data), end);
    attempt([&] {
        auto const settings = parse_json(text, "input");
        model_config model;
        model.values.vision.width = 8; // a projector of 40 inputs
        model.values.vision.taps = {0, 1, 2, 3};
        if (settings.is_object()) {
            auto const method = settings.find("quant_method");
            bool const named = method != settings.end() && method->is_string();
            model.quantisation = {named ? method->get<std::string>() : "mlx", text, "input", "quantization_config"};
        }
        auto stored = parse_safetensors(bytes.subspan(std::min(end + 1, size)), "input").content;
        std::vector<std::string> problems;
        auto const joined = join_quantised(std::move(stored), &model, "input", faults::collected, problems);
        for (auto const& kind : quantised_kinds(joined)) static_cast<void>(in_words(kind));
        for (auto const& [name, value] : joined.tensors) {
            if (!value.stored) continue;
            // Codes have at least 2 bits, and values at most 32, so a file cannot ask for much more than it holds.
            if (size_in_bytes(value) > 16 * value.stored->stored_bytes) std::abort();
            for (dtype const type : {dtype::f32, dtype::bf16}) {
                std::size_t made = 0;
                attempt([&, &value = value] {
                    rounding lost;
                    convert(
                        value, type, [&](std::span<std::byte const> piece) { made += piece.size(); }, lost);
                    if (made != bytes_of(type, values_of(value))) std::abort();
                });
            }
        }
    });
    return 0;
}
