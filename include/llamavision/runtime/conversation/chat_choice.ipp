// SPDX-License-Identifier: Apache-2.0
// A known text, a template that is interpreted, or, with a warning, the format that it resembles.
#pragma once

#include <algorithm>
#include <utility>

#include <llamavision/runtime/conversation/chat_choice.hpp>

namespace llamavision {

LLAMAVISION_INLINE bool is_base(checkpoint::description const& d, tokens::tokenizer const& tokenizer) {
    auto const& stops = d.generation.stop_ids;
    bool const tells = d.form == checkpoint::kind::hugging_face || d.dialect == "llamavision";
    return tells && d.chat.text.empty() && d.chat.fault.empty() && !stops.empty()
           && std::find(stops.begin(), stops.end(), tokenizer.eot()) == stops.end();
}

namespace detail {

/// The template, or the sentence why it is not interpreted.
inline std::string interpret_into(std::optional<tokens::chat_template>& result, std::string const& text,
                                  std::string const& file) {
    try {
        result.emplace(text, file);
    } catch (tokens::template_error const& fault) { return fault.what(); }
    return {};
}

inline void write_with_template(chat_choice& c, checkpoint::template_source const& chat) {
    c.warning = interpret_into(c.own, chat.text, chat.file.string());
    if (c.own) return;
    auto const nearest = tokens::resembles(chat.text);
    c.form = nearest.value_or(tokens::preset::meta);
    c.warning += "; the chat template is not used: conversations are written in the "
                 + (nearest ? "format \"" + std::string(name_of(*nearest)) + "\", which it resembles"
                            : std::string("format \"meta\""))
                 + ", and the model may have been trained with another prompt (load_options::chat, --format)";
}

} // namespace detail

LLAMAVISION_INLINE chat_choice choose_chat(checkpoint::template_source const& chat, bool base) {
    using tokens::preset;
    chat_choice c;
    if (chat.as_converter)
        c.form = preset::converter;
    else if (chat.text.empty())
        c.form = base ? preset::base : preset::meta;
    else if (auto const known = tokens::recognise(chat.text))
        c.form = *known;
    else
        detail::write_with_template(c, chat);
    if (chat.text.empty() && !chat.fault.empty())
        c.warning = chat.fault + "; no chat template is used: conversations are written in the format \""
                    + std::string(name_of(c.form))
                    + "\", and the model may have been trained with another prompt (load_options::chat, --format)";
    if (!chat.for_tools.empty()) { // interpreted even if it is known: `form` is the other template's
        auto const fault = detail::interpret_into(c.own_for_tools, chat.for_tools, chat.for_tools_file.string());
        if (!fault.empty())
            c.warning +=
                (c.warning.empty() ? "" : "; ") + fault + "; conversations with tools are written as those without";
    }
    return c;
}

LLAMAVISION_INLINE chat_choice choose_chat(checkpoint::description const& d,
                                           std::optional<tokens::tokenizer> const& tokenizer) {
    return choose_chat(d.chat, tokenizer && is_base(d, *tokenizer));
}

LLAMAVISION_INLINE tokens::chat_options chat_options_of(checkpoint::description const& d,
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
    o.own_for_tools = std::move(choice.own_for_tools);
    o.words = d.chat.words;
    if (!tokenizer) return o;
    // Without a tokenizer_config.json, as in GGUF: the tokens by their ids.
    o.words.try_emplace("bos_token", tokenizer->bytes(tokenizer->bos()));
    if (auto const& stops = d.generation.stop_ids; !stops.empty() && tokenizer->contains(stops.front()))
        o.words.try_emplace("eos_token", tokenizer->bytes(stops.front()));
    return o;
}

} // namespace llamavision
