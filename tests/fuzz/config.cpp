// SPDX-License-Identifier: Apache-2.0
// Any text as each of a folder's JSON files: read, or refused with an error of the library; what was read is
// consistent.
#include "../../examples/llamavision/config_header.hpp"
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/form/hugging_face/generation_config.hpp>
#include <llamavision/checkpoint/form/hugging_face/preprocessor_config.hpp>
#include <llamavision/checkpoint/form/meta/params.hpp>
#include <llamavision/config/check.hpp>
#include <llamavision/config/differences.hpp>

#include "attempt.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace llamavision;
    attempt([&] {
        auto const document = parse_json({reinterpret_cast<char const*>(data), size}, "input");
        attempt([&] {
            auto const values = checkpoint::read_config(document, "input").values;
            if (!config::contradictions(values).empty() || !config::differences(values, values).empty()) std::abort();
            static_cast<void>(program::to_header(values, "x"));
        });
        attempt([&] {
            auto const values = checkpoint::read_params(document, "input").values;
            if (!config::differences(values, values).empty()) std::abort();
            if (values.text.cross_layers.size() >= values.text.layers) std::abort();
        });
        attempt([&] { static_cast<void>(checkpoint::read_generation(document, "input")); });
        attempt([&] { static_cast<void>(checkpoint::read_preprocessor(json_view(document, "input"))); });
    });
    return 0;
}
