// SPDX-License-Identifier: Apache-2.0
// Attention as every backend sees it: groups of query rows, and the blocks of keys that each group sees. Causal text,
// the tower's padding mask, any number of images and collapsed padding are all expressed in these terms; no mask is
// ever stored.
#pragma once

#include <cstddef>
#include <span>

namespace llamavision {

/// Keys and values that lie together: (rows, kv_heads, head_dim) each, or as the backend keeps them (`keeps_keys`).
struct key_block {
    float const* keys = nullptr;
    float const* values = nullptr;
    /// (rows), finite, added to every score of that key: ln(multiplicity); null means zero.
    float const* bias = nullptr;
    std::size_t rows = 0;
    std::size_t capacity = 0; ///< 0: floats; else kept in the backend's layout, in memory for so many rows
};

/// Where consecutive rows of keys and values are kept (`keeps_keys`).
struct kept_rows {
    std::size_t rows = 0;
    std::size_t first = 0;    ///< the place of the first of them; all before it were put there
    std::size_t capacity = 0; ///< rows that there is memory for; 0: floats, as they come (`replays`)
    float* keys = nullptr;    ///< begin on a cache line
    float* values = nullptr;
};

/// Consecutive query rows that see the same blocks.
struct query_group {
    std::size_t first = 0; ///< index of the first query row
    std::size_t rows = 0;
    std::span<key_block const> blocks; ///< empty: these rows see nothing, and their output is zero
    /// The last block grows by one row from each query row to the next: the group's last row sees all of it, the row
    /// before it all but one, and so on.
    bool causal = false;
};

/// Query head h reads key head h / (heads / kv_heads). The scale is 1 / sqrt(head_dim).
struct attention_shape {
    std::size_t heads = 0;
    std::size_t kv_heads = 0; ///< divides heads
    std::size_t head_dim = 0;
    bool rounded = false; ///< the backend may round queries, keys, values and weights to bfloat16
};

} // namespace llamavision
