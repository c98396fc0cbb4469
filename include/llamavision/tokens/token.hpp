// SPDX-License-Identifier: Apache-2.0
// A token: the number of a row of the embedding table.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llamavision {

/// A token's id: 0 … ordinary tokens − 1, then the special tokens. Never negative in valid data.
using token = std::int32_t;

namespace tokens {

/// A special token in a text.
struct special_match {
    std::size_t at;     ///< byte where its name begins; the text's size if there is none
    std::size_t length; ///< bytes of the name
    token id;
};

} // namespace tokens

} // namespace llamavision
