// SPDX-License-Identifier: Apache-2.0
// How conversations of a checkpoint are written, and what must be said about it.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/tokens/chat_template.hpp>
#include <llamavision/tokens/tokenizer.hpp>

namespace llamavision {

/// Whether the checkpoint is a base model's, which continues texts: no chat template, and no answer ends with
/// <|eot_id|>. Only forms that have a place for both can say so: Hugging Face's, and this library's GGUF.
[[nodiscard]] inline bool is_base(checkpoint::description const& d, tokens::tokenizer const& tokenizer) {
    auto const& stops = d.generation.stop_ids;
    bool const tells = d.form == checkpoint::kind::hugging_face || d.dialect == "llamavision";
    return tells && d.chat.text.empty() && !stops.empty()
           && std::find(stops.begin(), stops.end(), tokenizer.eot()) == stops.end();
}

struct chat_choice {
    tokens::preset form = tokens::preset::meta;
    bool known = true;     ///< false: the checkpoint has a chat template, and `form` may write something else
    std::string warning{}; ///< then: a sentence that names the file
};

/// By the checkpoint's chat template; without one, in Meta's format, or without a frame for a base model.
[[nodiscard]] inline chat_choice choose_chat(checkpoint::chat_template const& chat, bool base = false) {
    using tokens::preset;
    if (chat.text.empty()) return {base ? preset::base : preset::meta};
    if (auto const known = tokens::recognise(chat.text)) return {*known};
    auto const nearest = tokens::resembles(chat.text);
    chat_choice c{nearest.value_or(preset::meta), false};
    c.warning = chat.file.string() + ": the chat template is not one that is known; conversations are written in the "
                + (nearest ? "format \"" + std::string(name_of(*nearest)) + "\", which it resembles"
                           : std::string("format \"meta\""))
                + ", and the model may have been trained with another prompt (load_options::chat, --format)";
    return c;
}

/// The same of a checkpoint with its tokenizer, if it has one.
[[nodiscard]] inline chat_choice choose_chat(checkpoint::description const& d,
                                             std::optional<tokens::tokenizer> const& tokenizer) {
    return choose_chat(d.chat, tokenizer && is_base(d, *tokenizer));
}

} // namespace llamavision
