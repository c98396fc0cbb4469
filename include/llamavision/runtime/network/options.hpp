// SPDX-License-Identifier: Apache-2.0
// How a network is made: formats of weights, where they lie, limits of memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include <llamavision/support/progress.hpp>
#include <llamavision/weights/formats.hpp>

namespace llamavision {

/// A file for weights that cannot stay in the checkpoint's, see packed_file.
struct packing {
    std::filesystem::path file{}; ///< empty: they go into memory
    std::string source{};         ///< what they come from: the same text, the same values
};

/// How tensors become a network.
struct network_options {
    weight_formats formats{}; ///< of each part; whatever the backend has no layout for stays as stored
    progress on_repack{};     ///< called after each matrix
    packing packed{};         ///< a backend with memory of its own packs only what it leaves to a second one
    /// Bytes of the backend's memory that the model may take; 0: unknown. What takes more is refused, or, with
    /// `beyond_memory`, read from its files layer by layer; memory that is no host's is then taken as far as it goes.
    std::size_t memory_budget = 0;
    std::size_t host_memory_budget =
        0; ///< the same of the host's, for what a backend with memory of its own leaves to it
    bool beyond_memory = false;
};

} // namespace llamavision
