// SPDX-License-Identifier: Apache-2.0
// A token: the number of a row of the embedding table.
#pragma once

#include <cstdint>

namespace llamavision {

/// A token's id: 0 … ordinary tokens − 1, then the special tokens. Never negative in valid data.
using token = std::int32_t;

} // namespace llamavision
