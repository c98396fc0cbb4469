// SPDX-License-Identifier: Apache-2.0
// A copied chat would share the conversation with the first.
// expect: deleted (function|constructor)
// expect below: chat\(chat const&\) = delete; // a copy would share the conversation
#include <utility>

#include <llamavision/runtime/conversation/chat.hpp>

llamavision::chat two(llamavision::chat& first) {
#ifdef CORRECT
    return std::move(first);
#else
    return llamavision::chat(first);
#endif
}
