// SPDX-License-Identifier: Apache-2.0
// Every exception of the library derives from `llamavision::error`; its message names the file, tensor, shape or byte
// offset at fault in words that a person understands.
#pragma once

#include <stdexcept>
#include <string>

namespace llamavision {

/// Base of everything that the library throws on purpose.
struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A file or folder cannot be opened, read, mapped or written.
struct file_error : error {
    using error::error;
};

/// A file's bytes contradict its format: truncated, hostile, or not what its name says.
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

/// The machine has too little memory for what was asked; the message carries both figures.
struct memory_error : error {
    using error::error;
};

/// There is no GPU that can be used, or the one at hand failed; the message says what was being done.
struct device_error : error {
    using error::error;
};

/// An argument outside its documented range.
struct argument_error : error {
    using error::error;
};

} // namespace llamavision
