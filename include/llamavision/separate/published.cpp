// SPDX-License-Identifier: Apache-2.0
// Compiled once in a program that defines LLAMAVISION_SEPARATE and LLAMAVISION_PUBLISHED: the published models and
// `tiny`, on the CPU.
#include <llamavision/load.hpp>
#include <llamavision/runtime/load.hpp>

namespace llamavision {

LLAMAVISION_NETWORKS()

model load(std::filesystem::path const& path, load_options const& options) {
    return load_any(bundled_and_published{}, path, options);
}

} // namespace llamavision
