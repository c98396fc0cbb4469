// SPDX-License-Identifier: Apache-2.0
// The configurations that this program is built for: `tiny` and the published ones, or `tiny` and those of the header
// LLAMAVISION_PROGRAM_CONFIGS.
#pragma once

#include <llamavision/config/tiny.hpp>
#include <llamavision/runtime/load.hpp>

#ifdef LLAMAVISION_PROGRAM_CONFIGS
#include LLAMAVISION_PROGRAM_CONFIGS
#endif

namespace program {

#ifdef LLAMAVISION_PROGRAM_CONFIGS
using known = llamavision::configurations<llamavision::tiny, LLAMAVISION_PROGRAM_CONFIG_TYPES>;
#else
using known = llamavision::bundled_and_published;
#endif

} // namespace program
