// SPDX-License-Identifier: Apache-2.0
// How conversations of a checkpoint are written, and what must be said about it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/chat.hpp>
#include <llamavision/tokens/chat_template.hpp>
#include <llamavision/tokens/template/template.hpp>
#include <llamavision/tokens/tokenizer.hpp>

namespace llamavision {

/// Whether the checkpoint is a base model's, which continues texts: no chat template, and no answer ends with
/// <|eot_id|>. Only forms that have a place for both can say so: Hugging Face's, and this library's GGUF.
[[nodiscard]] LLAMAVISION_INLINE bool is_base(checkpoint::description const& d, tokens::tokenizer const& tokenizer);

struct chat_choice {
    tokens::preset form = tokens::preset::meta;
    std::optional<tokens::chat_template> own{};           ///< the checkpoint's own template: writes in place of `form`
    std::optional<tokens::chat_template> own_for_tools{}; ///< its template for conversations with tools
    /// Not empty if the checkpoint has a template that cannot be used, so that `form` may write something else: a
    /// sentence that names the file, and the place in it.
    std::string warning{};
};

/// By the checkpoint's chat template: as one of the formats where it is known, else interpreted. Without a template, in
/// Meta's format, or without a frame for a base model.
[[nodiscard]] LLAMAVISION_INLINE chat_choice choose_chat(checkpoint::template_source const& chat, bool base = false);

/// The same of a checkpoint with its tokenizer, if it has one.
[[nodiscard]] LLAMAVISION_INLINE chat_choice choose_chat(checkpoint::description const& d,
                                                         std::optional<tokens::tokenizer> const& tokenizer);

/// How the checkpoint's conversations are written; what must be said about it is added to `warnings`.
/// @param wanted instead of what its template says; nothing must be said then
[[nodiscard]] LLAMAVISION_INLINE tokens::chat_options chat_options_of(checkpoint::description const& d,
                                                                      std::optional<tokens::tokenizer> const& tokenizer,
                                                                      std::optional<tokens::preset> wanted,
                                                                      std::vector<std::string>& warnings);

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/chat_choice.ipp>
#endif
