// SPDX-License-Identifier: Apache-2.0
// A copied session would share its KV cache with the first, and both would write into it.
// expect: deleted (function|constructor)
// expect below: session\(session const&\) = delete; // a copy would share the KV cache
#include <utility>

#include <llamavision/runtime/conversation/session.hpp>

llamavision::session two(llamavision::session& first) {
#ifdef CORRECT
    return std::move(first);
#else
    return llamavision::session(first);
#endif
}
