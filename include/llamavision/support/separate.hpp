// SPDX-License-Identifier: Apache-2.0
// Two ways to compile the library. By default it is headers alone: the files *.ipp, where the large parts that do not
// depend on a configuration are defined, are included by their headers, and LLAMAVISION_INLINE is `inline`. With
// LLAMAVISION_SEPARATE defined for every translation unit of a program, headers only declare those parts, and the files
// of separate/ compile each once (CMake: llamavision::separate).
#pragma once

#if defined(LLAMAVISION_SEPARATE)
#define LLAMAVISION_INLINE
#else
#define LLAMAVISION_INLINE inline
#endif
