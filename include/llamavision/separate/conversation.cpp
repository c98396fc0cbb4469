// SPDX-License-Identifier: Apache-2.0
// Compiled once in a program that defines LLAMAVISION_SEPARATE (support/separate.hpp).
#include <llamavision/runtime/conversation/chat.ipp>
#include <llamavision/runtime/conversation/chat_choice.ipp>
#include <llamavision/runtime/conversation/generate.ipp>
#include <llamavision/runtime/conversation/session.ipp>
#include <llamavision/runtime/conversation/workspace.ipp>
#include <llamavision/runtime/load.ipp>
#include <llamavision/runtime/model.ipp>
