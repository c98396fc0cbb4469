// SPDX-License-Identifier: Apache-2.0
// Prints real numbers as floating point literals of C++ that have exactly the same value.
#pragma once

#include <charconv>
#include <cmath>
#include <string>

namespace llamavision {

/// The shortest text that is read back as `value`: "500000.0" or "1e-05".
/// @pre `value` is finite
template <class Real>
[[nodiscard]] std::string print_number(Real value) {
    char digits[64];
    Real const magnitude = std::abs(value);
    bool const plain = magnitude == 0 || (magnitude >= Real(1e-4) && magnitude < Real(1e15));
    auto const end = std::to_chars(digits, digits + sizeof digits, value,
                                   plain ? std::chars_format::fixed : std::chars_format::scientific);
    std::string result(digits, end.ptr);
    if (result.find_first_of(".e") == std::string::npos) result += ".0";
    return result;
}

} // namespace llamavision
