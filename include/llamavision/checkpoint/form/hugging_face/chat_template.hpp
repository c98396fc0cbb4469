// SPDX-License-Identifier: Apache-2.0
// Finds the text of the chat template, which transformers has kept in three places.
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/text_file.hpp>

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace llamavision::checkpoint {

/// The template in a chat_template.json or tokenizer_config.json; the one named "default" if there are several. Empty
/// if there is none.
/// @throws format_error
[[nodiscard]] inline std::string read_chat_template(nlohmann::json const& document, std::string const& file) {
    auto const value = json_view(document, file).find("chat_template");
    if (!value) return {};
    if (!value->json().is_array()) return value->text();
    for (auto const& item : value->items())
        if (item.at("name").text() == "default") return item.at("template").text();
    return {};
}

/// The template of a folder: in chat_template.jinja, chat_template.json or tokenizer_config.json, whichever is first,
/// as in transformers.
/// @throws file_error and format_error
[[nodiscard]] inline chat_template find_chat_template(std::filesystem::path const& folder) {
    constexpr std::size_t limit = std::size_t{1} << 20;
    if (auto const path = folder / "chat_template.jinja"; has_entry(path)) return {read_text_file(path, limit), path};
    for (char const* const name : {"chat_template.json", "tokenizer_config.json"}) {
        auto const path = folder / name;
        if (!has_entry(path)) continue;
        auto text = read_chat_template(read_json(path, {.bytes = 16 * limit}), path.string());
        if (!text.empty()) return {std::move(text), path};
    }
    return {};
}

} // namespace llamavision::checkpoint
