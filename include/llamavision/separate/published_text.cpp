// SPDX-License-Identifier: Apache-2.0
// Compiled once in a program that defines LLAMAVISION_SEPARATE and LLAMAVISION_PUBLISHED: the published text models, on
// the CPU.
#include <llamavision/runtime/network/make_network.hpp>

namespace llamavision {

LLAMAVISION_TEXT_NETWORKS()

} // namespace llamavision
