// SPDX-License-Identifier: Apache-2.0
// Compiled once in a program that defines LLAMAVISION_SEPARATE (support/separate.hpp).
#include <llamavision/expression/bind.ipp>
#include <llamavision/expression/describe.ipp>
#include <llamavision/runtime/images/encoder_identity.ipp>
#include <llamavision/runtime/weights/packed_file.ipp>
#include <llamavision/runtime/weights/stream.ipp>
