// SPDX-License-Identifier: Apache-2.0
// What the weights of a model take in memory.
#pragma once

#include <cstddef>

namespace llamavision {

/// Bytes.
struct weight_memory {
    std::size_t own = 0;     ///< repacked, assembled, or widened: memory of this process alone
    std::size_t mapped = 0;  ///< in files, which the system may drop and read again
    std::size_t host = 0;    ///< likewise in the host's memory, where `own` is a device's
    std::size_t decoded = 0; ///< of both: what the products of one token read, with an image in sight

    weight_memory& operator+=(weight_memory const& other) {
        own += other.own;
        mapped += other.mapped;
        host += other.host;
        decoded += other.decoded;
        return *this;
    }
};

} // namespace llamavision
