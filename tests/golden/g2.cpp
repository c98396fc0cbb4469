// SPDX-License-Identifier: Apache-2.0
#include "open.hpp"

golden::network_ptr golden::open_g2(std::filesystem::path const& folder, kernels which) {
    return open<llamavision::golden::g2>(folder, which);
}
