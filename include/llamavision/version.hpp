// SPDX-License-Identifier: Apache-2.0
// The library's version, said here alone: CMake reads it from these lines.
#pragma once

#define LLAMAVISION_VERSION_MAJOR 0
#define LLAMAVISION_VERSION_MINOR 1
#define LLAMAVISION_VERSION_PATCH 0

#define LLAMAVISION_QUOTE(x) #x
#define LLAMAVISION_VERSION_TEXT(major, minor, patch)                                                                  \
    LLAMAVISION_QUOTE(major) "." LLAMAVISION_QUOTE(minor) "." LLAMAVISION_QUOTE(patch)
/// "0.1.0"
#define LLAMAVISION_VERSION                                                                                            \
    LLAMAVISION_VERSION_TEXT(LLAMAVISION_VERSION_MAJOR, LLAMAVISION_VERSION_MINOR, LLAMAVISION_VERSION_PATCH)
