// SPDX-License-Identifier: Apache-2.0
// How a network is made: formats of weights, where they lie, limits of memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include <llamavision/runtime/network/planned_use.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/weights/formats.hpp>

namespace llamavision {

/// A file for weights that cannot stay in the checkpoint's files, see packed_file.
struct packing {
    std::filesystem::path file{}; ///< empty: they go into memory
    std::string source{};         ///< where they come from: the same text stands for the same values
};

struct network_options {
    weight_formats formats{}; ///< of each part; whatever the backend has no layout for stays as stored
    progress on_repack{};     ///< called after each matrix
    packing packed{};         ///< a backend with memory of its own packs only what it leaves to a second one
    /// Bytes of the backend's memory that the model, its sessions and its pictures may take; 0: unknown. What takes
    /// more is refused, or, with `beyond_memory`, weights are read from their files layer by layer.
    std::size_t memory_budget = 0;
    /// The same of the host's memory, for what a backend with memory of its own leaves to it.
    std::size_t host_memory_budget = 0;
    bool beyond_memory = false;
    /// Positions that a conversation may have, by the checkpoint: a limit, which no weight depends on. 0: the
    /// configuration's.
    std::size_t positions = 0;
    planned_use planned{}; ///< must fit into the budget beside the weights
};

} // namespace llamavision
