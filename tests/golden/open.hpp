// SPDX-License-Identifier: Apache-2.0
// Opens a golden model's folder as the configuration C.
#pragma once

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/checkpoint/encoding/widen.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>

#include "configs.hpp"
#include "golden.hpp"

namespace golden {

/// The tensors of a golden model, after a look at its configuration.
template <class C>
lv::checkpoint::named_tensors tensors_of(std::filesystem::path const& folder) {
    lv::checkpoint::opened file = lv::checkpoint::open(folder);
    REQUIRE(file.model);
    CHECK(lv::config::differences(file.model->values, lv::config::numbers_of<C>(), file.model->unstated).empty());
    lv::checkpoint::widen_blocks(file.tensors, lv::checkpoint::dtype::f32);
    return std::move(file.tensors);
}

template <class C>
network_ptr open(std::filesystem::path const& folder, kernels which) {
    lv::checkpoint::named_tensors tensors = tensors_of<C>(folder);
    if (which == kernels::scalar)
        return std::make_shared<lv::network_of<C, lv::scalar>>(std::move(tensors), lv::scalar{});
    using format = lv::weight_format;
    lv::weight_formats formats;
    if (which != kernels::simd)
        formats = {which == kernels::i8 ? format::i8 : format::bf16,
                   format::bf16,
                   format::bf16,
                   format::bf16,
                   format::bf16,
                   format::bf16};
    if (which == kernels::q8 || which == kernels::q4)
        formats = lv::weight_formats::divided(format::bf16, which == kernels::q8 ? format::q8 : format::q4);
    return std::make_shared<lv::network_of<C, lv::simd>>(std::move(tensors), lv::simd(1),
                                                         lv::network_options{.formats = formats});
}

} // namespace golden
