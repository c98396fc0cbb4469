// SPDX-License-Identifier: Apache-2.0
// The exceptions of the library. All derive from `llamavision::error`, and their messages name what is wrong: the file,
// tensor, shape or byte offset.
#pragma once

#include <stdexcept>
#include <string>

namespace llamavision {

/// The base of all exceptions of the library.
struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A file or folder cannot be opened, read, mapped or written.
struct file_error : error {
    using error::error;
};

/// The bytes of a file contradict its format: the file is truncated, hostile, or of another kind than its name says.
struct format_error : error {
    using error::error;
};

/// A checkpoint and the compiled model disagree: a number of the configuration, or missing, surplus or misshapen
/// tensors.
struct mismatch_error : error {
    using error::error;
};

/// A picture cannot be decoded, or has a size that no canvas takes.
struct image_error : error {
    using error::error;
};

/// Text, ids or a conversation that the tokenizer or the chat format cannot express.
struct token_error : error {
    using error::error;
};

/// The conversation would outgrow the context length.
struct context_error : error {
    using error::error;
};

/// The machine has too little memory for the request. The message says how much is needed and how much there is.
struct memory_error : error {
    using error::error;
};

/// There is no usable GPU, or it failed. The message says what it was doing.
struct device_error : error {
    using error::error;
};

/// An argument outside its documented range, or an object that can no longer do what is asked of it.
struct argument_error : error {
    using error::error;
};

/// The caller asked for an end: thrown by what was interrupted through its stop token.
struct cancelled : error {
    using error::error;
};

} // namespace llamavision
