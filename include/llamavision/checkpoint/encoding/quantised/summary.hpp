// SPDX-License-Identifier: Apache-2.0
// Which quantised formats a checkpoint holds, and how much of it is in each.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// The matrices of one format, width and group.
struct quantised_kind {
    std::string format;        ///< "bitsandbytes NF4"
    unsigned bits = 0;         ///< of a code
    std::string group;         ///< what shares a scale: "block 64", "group 128", "row"
    dtype values = dtype::f32; ///< the type of the dequantised values
    std::size_t matrices = 0, parameters = 0;
    std::size_t stored_bytes = 0;  ///< in the file, with scales and zero points
    std::size_t widened_bytes = 0; ///< of the dequantised values
};

/// Bytes that the tensor takes in the file.
[[nodiscard]] inline std::size_t stored_size(tensor const& t) {
    return t.stored ? t.stored->stored_bytes : size_in_bytes(t);
}

/// The kinds of quantised matrices among the tensors, those with most parameters first.
[[nodiscard]] inline std::vector<quantised_kind> quantised_kinds(named_tensors const& tensors) {
    std::vector<quantised_kind> kinds;
    for (auto const& [name, t] : tensors.tensors) {
        if (!t.stored) continue;
        quantised_kind kind{t.stored->format, bits_of(*t.stored), group_text(*t.stored), t.type, 0, 0, 0, 0};
        auto at = std::find_if(kinds.begin(), kinds.end(), [&](quantised_kind const& k) {
            return k.format == kind.format && k.bits == kind.bits && k.group == kind.group && k.values == kind.values;
        });
        if (at == kinds.end()) at = kinds.insert(at, std::move(kind));
        ++at->matrices;
        at->parameters += values_of(t);
        at->stored_bytes += stored_size(t);
        at->widened_bytes += size_in_bytes(t);
    }
    std::stable_sort(kinds.begin(), kinds.end(),
                     [](quantised_kind const& a, quantised_kind const& b) { return a.parameters > b.parameters; });
    return kinds;
}

/// "bitsandbytes NF4, 4 bits, block 64"
[[nodiscard]] inline std::string in_words(quantised_kind const& k) {
    return k.format + ", " + std::to_string(k.bits) + " bits, " + k.group;
}

} // namespace llamavision::checkpoint
