// SPDX-License-Identifier: Apache-2.0
// silu and gelu, on rows of any width.
#pragma once

#include <llamavision/expression/run.hpp>

namespace llamavision {

namespace layer {

/// x·σ(x).
struct silu : expression_base {
    static constexpr std::string_view kind = "silu";
    static constexpr bool in_place = true;

    template <class B>
    static void run(B const& backend, weights<silu> const&, context&, rows x, rows y) {
        backend.silu(x.data, x.size(), y.data);
    }
};

/// x·Φ(x), exact: x/2·(1 + erf(x/√2)).
struct gelu : expression_base {
    static constexpr std::string_view kind = "gelu";
    static constexpr bool in_place = true;

    template <class B>
    static void run(B const& backend, weights<gelu> const&, context&, rows x, rows y) {
        backend.gelu(x.data, x.size(), y.data);
    }
};

} // namespace layer

inline constexpr layer::silu silu{};
inline constexpr layer::gelu gelu{};

} // namespace llamavision
