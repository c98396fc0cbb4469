// SPDX-License-Identifier: Apache-2.0
// The contents of a tokenizer's file, of either kind.
#pragma once

#include <llamavision/tokens/special_tokens.hpp>
#include <llamavision/tokens/vocabulary.hpp>

namespace llamavision::tokens {

/// Which file a tokenizer came from. The ids of ordinary tokens are the same; those of `<|image|>` and of the tokens
/// after it are not.
enum class tokenizer_kind {
    meta,        ///< tokenizer.model: `<|image|>` is the special token 11
    hugging_face ///< tokenizer.json: `<|image|>` is the special token 256, after all the others
};

/// What a tokenizer is made of.
struct tokenizer_contents {
    tokenizer_kind kind = tokenizer_kind::meta;
    llamavision::tokens::vocabulary vocabulary;
    special_tokens specials;
};

} // namespace llamavision::tokens
