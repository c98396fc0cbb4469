// SPDX-License-Identifier: Apache-2.0
// Compiled once in a program that defines LLAMAVISION_SEPARATE (support/separate.hpp).
#include <llamavision/checkpoint/adapter/adapter.ipp>
#include <llamavision/checkpoint/encoding/quantised/dequantise.ipp>
#include <llamavision/checkpoint/encoding/quantised/join.ipp>
#include <llamavision/checkpoint/encoding/widen.ipp>
#include <llamavision/checkpoint/fingerprint.ipp>
#include <llamavision/checkpoint/open.ipp>
#include <llamavision/config/differences.ipp>
