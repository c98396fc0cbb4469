// SPDX-License-Identifier: Apache-2.0
// Returns the message of an exception, for tests that check it.
#pragma once

#include <string>

/// The message of the exception of type E that `f` throws; "nothing was thrown" if it returns.
template <class E, class F>
[[nodiscard]] std::string message_of(F const& f) {
    try {
        static_cast<void>(f());
    } catch (E const& fault) { return fault.what(); }
    return "nothing was thrown";
}

[[nodiscard]] inline bool contains(std::string const& text, std::string const& part) {
    return text.find(part) != std::string::npos;
}
