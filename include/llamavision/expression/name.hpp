// SPDX-License-Identifier: Apache-2.0
// A string as a template argument: `linear<"q_proj", 4096, 4096>` carries its weight's name in its type.
#pragma once

#include <cstddef>
#include <string_view>

namespace llamavision {

template <std::size_t Size>
struct name {
    char text[Size]{};

    consteval name(char const (&literal)[Size]) {
        for (std::size_t i = 0; i < Size; ++i) text[i] = literal[i];
    }
    [[nodiscard]] constexpr std::string_view view() const { return {text, Size - 1}; }
};

} // namespace llamavision
