// SPDX-License-Identifier: Apache-2.0
// Finds the text of the chat template, which transformers has kept in three places.
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/form/hugging_face/known_keys.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// The templates of a chat_template.json or tokenizer_config.json by their names. A text without a name is "default".
/// @throws format_error
[[nodiscard]] inline std::map<std::string, std::string> read_chat_templates(nlohmann::json const& document,
                                                                            std::string const& file) {
    std::map<std::string, std::string> named;
    auto const value = json_view(document, file).find("chat_template");
    if (!value) return named;
    if (value->json().is_object())
        for (auto const& [name, text] : value->members()) named[name] = text.text();
    else if (value->json().is_array())
        for (auto const& item : value->items()) named[item.at("name").text()] = item.at("template").text();
    else
        named["default"] = value->text();
    return named;
}

/// The special tokens that a tokenizer_config.json names, which transformers hands to templates: "bos_token" and
/// others, as text or as an object.
[[nodiscard]] inline std::map<std::string, std::string> read_template_words(nlohmann::json const& document) {
    std::map<std::string, std::string> words;
    for (char const* const name :
         {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "image_token"}) {
        auto const at = document.is_object() ? document.find(name) : document.end();
        if (at == document.end()) continue;
        auto const content = at->is_object() ? at->find("content") : at->end();
        if (at->is_string())
            words[name] = at->get<std::string>();
        else if (at->is_object() && content != at->end() && content->is_string())
            words[name] = content->get<std::string>();
    }
    return words;
}

/// The templates of a folder: in chat_template.jinja (others in additional_chat_templates/NAME.jinja),
/// chat_template.json or tokenizer_config.json, whichever is first, as in transformers 4.54.1. Of several, the one
/// named "default" counts, and with tools the one named "tool_use".
/// @param warnings where what is not obeyed in tokenizer_config.json is added; null: nowhere
/// @throws file_error and format_error
[[nodiscard]] inline template_source find_chat_template(std::filesystem::path const& folder,
                                                        std::vector<std::string>* warnings = nullptr) {
    constexpr std::size_t limit = std::size_t{1} << 20;
    template_source found;
    auto const take = [&](std::map<std::string, std::string> const& named, std::filesystem::path const& path) {
        if (!found.text.empty() || named.empty()) return;
        auto const text = named.find("default"), tools = named.find("tool_use");
        if (text != named.end()) {
            found.text = text->second;
            found.file = path;
            found.fault.clear();
        } else if (found.fault.empty()) {
            std::string names;
            for (auto const& [name, unused] : named) names += (names.empty() ? "" : ", ") + in_quotes(name);
            found.fault = path.string() + ": none of its chat templates (" + names + ") has the name \"default\"";
        }
        if (tools == named.end() || !found.for_tools.empty()) return;
        found.for_tools = tools->second;
        found.for_tools_file = path;
    };
    if (auto const path = folder / "chat_template.jinja"; has_entry(path))
        take({{"default", read_text_file(path, limit)}}, path);
    if (auto const path = folder / "additional_chat_templates" / "tool_use.jinja"; has_entry(path)) {
        found.for_tools = read_text_file(path, limit);
        found.for_tools_file = path;
    }
    for (char const* const name : {"chat_template.json", "tokenizer_config.json"}) {
        auto const path = folder / name;
        bool const names_words = std::string_view(name) == "tokenizer_config.json";
        if ((!names_words && !found.text.empty()) || !has_entry(path)) continue;
        auto const document = read_json(path, {.bytes = 16 * limit});
        if (found.text.empty()) take(read_chat_templates(document, path.string()), path);
        if (!names_words) continue;
        found.words = read_template_words(document);
        auto what = tokenizer_config_warning(document, path.string());
        if (warnings && !what.empty()) warnings->push_back(std::move(what));
    }
    return found;
}

} // namespace llamavision::checkpoint
