// SPDX-License-Identifier: Apache-2.0
// Register tiles are arrays in loops of constant length; they are registers only once the loops are gone.
#pragma once

#if defined(__clang__)
#define LLAMAVISION_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define LLAMAVISION_UNROLL _Pragma("GCC unroll 16")
#else
#define LLAMAVISION_UNROLL
#endif
