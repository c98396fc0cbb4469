// SPDX-License-Identifier: Apache-2.0
// The two products of a SwiGLU are equally wide.
// expect: left_gives_right_takes<14336, 14363>
#include <llamavision/layers/activation.hpp>
#include <llamavision/layers/linear.hpp>

#ifdef CORRECT
constexpr std::size_t mlp = 14336;
#else
constexpr std::size_t mlp = 14363;
#endif
constexpr auto wrong = (llamavision::linear<"gate_proj", 4096, 14336> | llamavision::silu)
                           * llamavision::linear<"up_proj", 4096, mlp> | llamavision::linear<"down_proj", 14336, 4096>;
