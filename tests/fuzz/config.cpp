// SPDX-License-Identifier: Apache-2.0
// Any text as a config.json: refused as damaged or as another architecture, or read as numbers within their limits.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <llamavision/config/read.hpp>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    try {
        auto const config = llamavision::config::read(llamavision::parse_json(text, "fuzzed"), "fuzzed");
        if (config.values.text.width == 0 || config.values.vision.tile == 0) std::abort();
    } catch (llamavision::format_error const&) { return 0; } catch (llamavision::mismatch_error const&) {
        return 0;
    }
    return 0;
}
