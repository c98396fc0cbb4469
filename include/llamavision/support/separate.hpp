// SPDX-License-Identifier: Apache-2.0
// Two ways to compile the library. The large parts that do not depend on a configuration are defined in the files
// *.ipp. By default, headers include these files, and LLAMAVISION_INLINE is `inline`. If LLAMAVISION_SEPARATE is
// defined in every translation unit of a program, headers only declare these parts, and the files of separate/ compile
// each of them once (CMake: llamavision::parts; with the published models, llamavision::separate).
#pragma once

#if defined(LLAMAVISION_SEPARATE)
#define LLAMAVISION_INLINE
#else
#define LLAMAVISION_INLINE inline
#endif
