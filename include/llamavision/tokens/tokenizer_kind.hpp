// SPDX-License-Identifier: Apache-2.0
// The two kinds of file that a tokenizer is read from.
#pragma once

namespace llamavision::tokens {

/// Which file a tokenizer came from. The ids of ordinary tokens are the same; those of `<|image|>` and of the tokens
/// after it are not.
enum class tokenizer_kind {
    meta,        ///< tokenizer.model: `<|image|>` is the special token 11
    hugging_face ///< tokenizer.json: `<|image|>` is the special token 256, after all the others
};

} // namespace llamavision::tokens
