// SPDX-License-Identifier: Apache-2.0
#include "open.hpp"

golden::network_ptr golden::open_g1(std::filesystem::path const& folder, kernels which) {
    return open<llamavision::golden::g1>(folder, which);
}
