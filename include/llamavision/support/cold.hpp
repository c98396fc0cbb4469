// SPDX-License-Identifier: Apache-2.0
// Marks functions that never run in inner loops, but while a model is loaded, described or traced. Compilers make them
// small instead of fast, and do not inline them.
#pragma once

#if defined(__GNUC__)
#define LLAMAVISION_COLD __attribute__((cold, noinline))
#else
#define LLAMAVISION_COLD
#endif
