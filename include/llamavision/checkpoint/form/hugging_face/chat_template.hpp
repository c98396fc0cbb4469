// SPDX-License-Identifier: Apache-2.0
// Finds the text of the chat template, which transformers has kept in three places.
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/text_file.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace llamavision::checkpoint {

/// The template in a chat_template.json or tokenizer_config.json; of several, as a list or as an object, the one named
/// "default". Empty if there is none.
/// @throws format_error; also if there are several and none of that name, which transformers refuses, too
[[nodiscard]] inline std::string read_chat_template(nlohmann::json const& document, std::string const& file) {
    auto const value = json_view(document, file).find("chat_template");
    if (!value) return {};
    if (value->json().is_object()) return value->at("default").text();
    if (!value->json().is_array()) return value->text();
    for (auto const& item : value->items())
        if (item.at("name").text() == "default") return item.at("template").text();
    if (!value->items().empty()) value->fail("a template named \"default\" among several");
    return {};
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

/// The template of a folder: in chat_template.jinja, chat_template.json or tokenizer_config.json, whichever is first,
/// as in transformers.
/// @throws file_error and format_error
[[nodiscard]] inline template_source find_chat_template(std::filesystem::path const& folder) {
    constexpr std::size_t limit = std::size_t{1} << 20;
    template_source found;
    auto const take = [&](std::string text, std::filesystem::path const& path) {
        if (!found.text.empty() || text.empty()) return;
        found.text = std::move(text);
        found.file = path;
    };
    if (auto const path = folder / "chat_template.jinja"; has_entry(path)) take(read_text_file(path, limit), path);
    for (char const* const name : {"chat_template.json", "tokenizer_config.json"}) {
        auto const path = folder / name;
        bool const names_words = std::string_view(name) == "tokenizer_config.json";
        if ((!names_words && !found.text.empty()) || !has_entry(path)) continue;
        auto const document = read_json(path, {.bytes = 16 * limit});
        if (found.text.empty()) take(read_chat_template(document, path.string()), path);
        if (names_words) found.words = read_template_words(document);
    }
    return found;
}

} // namespace llamavision::checkpoint
