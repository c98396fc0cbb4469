// SPDX-License-Identifier: Apache-2.0
// Compiled once in a program that defines LLAMAVISION_SEPARATE (support/separate.hpp).
#include <llamavision/runtime/chat.ipp>
#include <llamavision/runtime/generate.ipp>
#include <llamavision/runtime/session.ipp>
#include <llamavision/runtime/workspace.ipp>
