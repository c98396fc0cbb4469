// SPDX-License-Identifier: Apache-2.0
// A backend that lacks a kernel: it does not become the scalar one, and the error names it.
// expect: static assertion failed|static_assert failed
// expect below: b\.rope\(
#include <llamavision/backend/scalar/scalar.hpp>

class mine : private llamavision::scalar {
  public:
    [[nodiscard]] static std::string_view name() { return "mine"; }
    using scalar::linear, scalar::embed, scalar::widen, scalar::bytes_equal, scalar::rms_norm, scalar::layer_norm,
        scalar::silu, scalar::gelu, scalar::multiply, scalar::add_scaled, scalar::add_row, scalar::attend,
        scalar::unfold, scalar::interleave, scalar::copy, scalar::zero;
#if defined(CORRECT)
    using scalar::rope;
#endif
};
static_assert(llamavision::backend<mine>);
