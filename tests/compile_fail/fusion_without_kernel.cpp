// SPDX-License-Identifier: Apache-2.0
// A backend that names a fusion whose kernel has another signature.
// expect: fusions name fusion::linear_add if and only if there is fused_linear_add
#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/layers/linear.hpp>

struct mine : llamavision::scalar {
    static constexpr llamavision::fusion fusions = llamavision::fusion::linear_add;
    void fused_linear_add(llamavision::matrix const&, float const*, float const*, std::size_t,
#if defined(CORRECT)
                          float,
#endif
                          float*) const {
    }
};

void f(llamavision::weights<llamavision::layer::linear<"x", 2, 2>> const& w, llamavision::context& c,
       llamavision::rows x) {
    run(mine(), llamavision::linear<"x", 2, 2>, w, c, x, x);
}
