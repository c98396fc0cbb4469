// SPDX-License-Identifier: Apache-2.0
// Opens a golden model's folder as the configuration C.
#pragma once

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/widen.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/runtime/compiled_network.hpp>

#include "configs.hpp"
#include "golden.hpp"

namespace golden {

template <class C>
network_ptr open(std::filesystem::path const& folder, kernels which) {
    lv::checkpoint::opened file = lv::checkpoint::open(folder);
    REQUIRE(file.model);
    CHECK(lv::config::differences(file.model->values, lv::config::numbers_of<C>(), file.model->unstated).empty());
    lv::checkpoint::widen_blocks(file.tensors, lv::checkpoint::dtype::f32);
    if (which == kernels::scalar)
        return std::make_shared<lv::compiled_network<C, lv::scalar>>(std::move(file.tensors), lv::scalar{});
    return std::make_shared<lv::compiled_network<C, lv::simd>>(std::move(file.tensors), lv::simd(1));
}

} // namespace golden
