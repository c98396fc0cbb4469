// SPDX-License-Identifier: Apache-2.0
// Text models whose output head shares the weight of the embedding. Some forms store that weight twice; the library
// keeps it once.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint {

/// Whether two tensors have the same type, shape and bytes. Reads the bytes up to the first difference.
[[nodiscard]] inline bool are_equal(tensor const& a, tensor const& b) {
    if (a.type != b.type || a.shape != b.shape) return false;
    std::vector<std::byte> made_a, made_b;
    auto const bytes_a = bytes_of(a, made_a), bytes_b = bytes_of(b, made_b);
    return bytes_a.data() == bytes_b.data()
           || std::equal(bytes_a.begin(), bytes_a.end(), bytes_b.begin(), bytes_b.end());
}

/// Whether the head shares the embedding's weight, in forms that do not say it (Meta's, GGUF): there is no tensor named
/// `head`, or it equals the one named `embedding`.
[[nodiscard]] inline bool is_head_tied(named_tensors const& model, std::string_view head, std::string_view embedding) {
    auto const own = model.tensors.find(head), shared = model.tensors.find(embedding);
    if (shared == model.tensors.end()) return false;
    return own == model.tensors.end() || are_equal(own->second, shared->second);
}

/// Removes lm_head.weight, a copy of the embedding, from a text model whose config.json says tie_word_embeddings.
/// @param file the checkpoint's name in errors
/// @throws mismatch_error if lm_head.weight is not equal to the embedding: then transformers 4 ignores it, and 5 uses
///         it
inline void drop_tied_head(named_tensors& model, std::string const& file) {
    auto const head = model.tensors.find("lm_head.weight");
    if (head == model.tensors.end()) return;
    if (!is_head_tied(model, "lm_head.weight", "model.embed_tokens.weight"))
        throw mismatch_error(file
                             + ": config.json says tie_word_embeddings, but lm_head.weight is not "
                               "model.embed_tokens.weight; transformers 4 ignores such a tensor, and 5 uses it: remove "
                               "the tensor, or say tie_word_embeddings false");
    model.tensors.erase(head);
}

} // namespace llamavision::checkpoint
