// SPDX-License-Identifier: Apache-2.0
// Compiled once in a program that defines LLAMAVISION_SEPARATE (support/separate.hpp).
#include <llamavision/image/decoder.ipp>
#include <llamavision/image/frames.ipp>
#include <llamavision/image/open.ipp>
