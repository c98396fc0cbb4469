// SPDX-License-Identifier: Apache-2.0
// The session of a chat that is gone at the end of the statement.
// expect: deleted (member )?function
// expect below: = delete; // the session would be gone at the end of the statement
#include <llamavision/runtime/conversation/chat.hpp>

std::size_t length(llamavision::model const& model) {
#ifdef CORRECT
    auto const chat = model.chat();
    return chat.state().length();
#else
    return model.chat().state().length();
#endif
}
