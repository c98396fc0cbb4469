// SPDX-License-Identifier: Apache-2.0
// Conversations that a checkpoint's own template writes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/tokens/chat.hpp>
#include <llamavision/tokens/chat_json.hpp>
#include <llamavision/tokens/template/messages.hpp>
#include <llamavision/tokens/template/specials.hpp>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens {

LLAMAVISION_INLINE chat_template const* chat_format::own() const {
    if (!options_.tools.empty() && options_.own_for_tools) return &*options_.own_for_tools;
    return options_.own ? &*options_.own : nullptr;
}

LLAMAVISION_INLINE std::string chat_format::date() const {
    std::string unknown;
    return strftime(options_.date ? *options_.date : local_time(), "%d %b %Y", unknown).value();
}

LLAMAVISION_INLINE rendering chat_format::run(std::span<message const> messages, bool add_generation_prompt) const {
    auto const list = template_messages(messages);
    auto tools = nlohmann::ordered_json::array(), variables = nlohmann::ordered_json::object();
    for (auto const& tool : options_.tools) tools.push_back(parse_ordered_json(tool));
    for (auto const& [name, text] : options_.words) variables[name] = text;
    if (options_.date) variables["date_string"] = date();
    template_inputs inputs;
    inputs.messages = &list;
    if (!tools.empty()) inputs.tools = &tools;
    inputs.variables = &variables;
    inputs.add_generation_prompt = add_generation_prompt;
    inputs.now = options_.date;
    auto made = own()->render(inputs);
    if (options_.content == special_text::recognised) made.from_user.clear();
    return made;
}

LLAMAVISION_INLINE rendering chat_format::run_next(std::span<message const> so_far, message const& turn) const {
    // The place is found by a word that stands for the answer, so that a template may trim answers.
    std::vector<message> all(so_far.begin(), so_far.end());
    all.push_back(turn);
    std::string word = "answer\x1F.";
    auto const is_said = [&word](message const& m) {
        return std::any_of(m.content.begin(), m.content.end(), [&word](part const& p) {
            auto const* const text = std::get_if<std::string>(&p);
            return text && text->find(word) != std::string::npos;
        });
    };
    while (std::any_of(all.begin(), all.end(), is_said)) word += '.';
    all[so_far.size() - 1].content = {word};
    auto const whole = run(all, true);
    auto const at = whole.text.rfind(word);
    if (at == std::string::npos)
        throw token_error("the chat template does not write the last answer as it is, so the conversation cannot go on "
                          "after it; it has to begin anew");
    auto const begin = at + word.size();
    rendering rest{whole.text.substr(begin), {}};
    for (auto const range : whole.from_user)
        if (range.end > begin) rest.from_user.push_back({std::max(range.begin, begin) - begin, range.end - begin});
    return rest;
}

LLAMAVISION_INLINE chat_format::script chat_format::cut(rendering const& made) const {
    script s{true, {}};
    auto const next = [this](std::string_view text, std::size_t from) { return tokenizer_.next_special(text, from); };
    for (auto const& p : cut_at_specials(made, next)) {
        if (p.special)
            s.add(*p.special);
        else
            s.add(p.text);
    }
    return s;
}

} // namespace llamavision::tokens
