// SPDX-License-Identifier: Apache-2.0
// A backend with a fused kernel that it does not name among its fusions.
// expect: fusions name fusion::swiglu if and only if there is fused_swiglu
#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/layers/linear.hpp>

struct mine : llamavision::scalar {
#if defined(CORRECT)
    static constexpr llamavision::fusion fusions = llamavision::fusion::swiglu;
#endif
    void fused_swiglu(llamavision::matrix const&, llamavision::matrix const&, float const*, std::size_t, float*) const {
    }
};

void f(llamavision::weights<llamavision::layer::linear<"x", 2, 2>> const& w, llamavision::context& c,
       llamavision::rows x) {
    run(mine(), llamavision::linear<"x", 2, 2>, w, c, x, x);
}
