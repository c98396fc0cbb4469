// SPDX-License-Identifier: Apache-2.0
// How a tokenizer is read from a file.
#pragma once

#include <llamavision/tokens/tokenizer.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>

namespace llamavision::tokens {

LLAMAVISION_INLINE tokenizer tokenizer::open(std::filesystem::path const& path) {
    return tokenizer(read_tokenizer(path), path.string());
}

} // namespace llamavision::tokens
