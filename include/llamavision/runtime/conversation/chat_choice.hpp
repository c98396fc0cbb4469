// SPDX-License-Identifier: Apache-2.0
// How conversations of a checkpoint are written, and what must be said about it.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/tokens/chat.hpp>
#include <llamavision/tokens/chat_template.hpp>
#include <llamavision/tokens/template/template.hpp>
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
    std::optional<tokens::chat_template> own{}; ///< the checkpoint's own template, which writes in place of `form`
    /// Not empty if the checkpoint has a template that cannot be used, so that `form` may write something else: a
    /// sentence that names the file, and the place in it.
    std::string warning{};
};

/// By the checkpoint's chat template: as one of the formats where it is known, else interpreted. Without a template, in
/// Meta's format, or without a frame for a base model.
[[nodiscard]] inline chat_choice choose_chat(checkpoint::template_source const& chat, bool base = false) {
    using tokens::preset;
    if (chat.as_converter) return {preset::converter};
    if (chat.text.empty()) return {base ? preset::base : preset::meta};
    if (auto const known = tokens::recognise(chat.text)) return {*known};
    chat_choice c;
    try {
        c.own.emplace(chat.text, chat.file.string());
        return c;
    } catch (tokens::template_error const& fault) { c.warning = fault.what(); }
    auto const nearest = tokens::resembles(chat.text);
    c.form = nearest.value_or(preset::meta);
    c.warning += "; the chat template is not used: conversations are written in the "
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

/// How the checkpoint's conversations are written; what must be said about it is added to `warnings`.
/// @param wanted instead of what its template says; nothing must be said then
[[nodiscard]] inline tokens::chat_options chat_options_of(checkpoint::description const& d,
                                                          std::optional<tokens::tokenizer> const& tokenizer,
                                                          std::optional<tokens::preset> wanted,
                                                          std::vector<std::string>& warnings) {
    tokens::chat_options o;
    if (wanted) {
        o.form = *wanted;
        return o;
    }
    auto choice = choose_chat(d, tokenizer);
    if (!choice.warning.empty()) warnings.push_back(std::move(choice.warning));
    o.form = choice.form;
    o.own = std::move(choice.own);
    o.words = d.chat.words;
    if (!tokenizer) return o;
    // Without a tokenizer_config.json, as in GGUF: the tokens by their ids.
    o.words.try_emplace("bos_token", tokenizer->bytes(tokenizer->bos()));
    if (auto const& stops = d.generation.stop_ids; !stops.empty() && tokenizer->contains(stops.front()))
        o.words.try_emplace("eos_token", tokenizer->bytes(stops.front()));
    return o;
}

} // namespace llamavision
