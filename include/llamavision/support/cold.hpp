// SPDX-License-Identifier: Apache-2.0
// A mark for functions that run while a model is loaded, described or watched, never in its inner loops: compilers make
// them small instead of fast and leave them where they are.
#pragma once

#if defined(__GNUC__)
#define LLAMAVISION_COLD __attribute__((cold, noinline))
#else
#define LLAMAVISION_COLD
#endif
