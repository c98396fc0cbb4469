// SPDX-License-Identifier: Apache-2.0
// Compiled once in a program that defines LLAMAVISION_SEPARATE (support/separate.hpp).
#include <llamavision/runtime/conversation/open_tokenizer.ipp>
#include <llamavision/tokens/chat.ipp>
#include <llamavision/tokens/chat_template.ipp>
#include <llamavision/tokens/own_template.ipp>
#include <llamavision/tokens/tokenizer.ipp>
