// SPDX-License-Identifier: Apache-2.0
// Any text as Meta's params.json: refused with an error of the library, or numbers that describe a model and, where
// Meta's form can say them, are the same when they are written and read again.
#include <llamavision/checkpoint/form/meta/params.hpp>
#include <llamavision/checkpoint/write/params.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace llamavision;
    try {
        auto const document = parse_json({reinterpret_cast<char const*>(data), size}, "input");
        auto const n = checkpoint::read_params(document, "input").values;
        if (!checkpoint::unsayable_in_params(n).empty()) return 0;
        auto const again = checkpoint::read_params(parse_json(checkpoint::params_text(n), "again"), "again").values;
        if (!(again.text == n.text) || again.vision.tile != n.vision.tile) std::abort();
    } catch (error const&) {
        return 0; // what a hostile file is for
    }
    return 0;
}
