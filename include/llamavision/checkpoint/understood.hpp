// SPDX-License-Identifier: Apache-2.0
// Which keys of a small file are understood, so that one that would change answers is never ignored in silence.
#pragma once

#include <llamavision/support/json_view.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint {

/// A key of a small file that is known.
struct known_key {
    std::string_view name;
    bool matters = false; ///< it changes answers, and is not obeyed: named unless its value is null, an empty list or
                          ///< object, or `neutral`
    std::string_view neutral{}; ///< as JSON: the value that changes nothing; empty if there is none
};

/// The members of `document`, an object, that would change answers and are not obeyed, as "key value"; a key that is
/// not in `known` may be such a one.
[[nodiscard]] inline std::vector<std::string> unheeded(nlohmann::json const& document,
                                                       std::span<known_key const> known) {
    std::vector<std::string> found;
    if (!document.is_object()) return found;
    for (auto const& [key, value] : document.items()) {
        std::string const& name = key;
        auto const entry =
            std::find_if(known.begin(), known.end(), [&name](known_key const& k) { return k.name == name; });
        if (value.is_null() || (value.is_structured() && value.empty())) continue;
        if (entry != known.end()
            && (!entry->matters || (!entry->neutral.empty() && value == nlohmann::json::parse(entry->neutral))))
            continue;
        std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
        if (text.size() > 40) text = text.substr(0, 40) + "...";
        auto const quoted = in_quotes(name);
        found.push_back((quoted.size() == name.size() + 2 ? name : quoted) + " " + text);
    }
    return found;
}

/// A sentence about them; empty if there are none.
[[nodiscard]] inline std::string unheeded_warning(std::string const& file, std::vector<std::string> const& keys) {
    std::string text;
    for (auto const& key : keys) text += (text.empty() ? "" : ", ") + key;
    return text.empty() ? text
                        : file + ": is not obeyed in: " + text + "; answers may be others than this file asks for";
}

} // namespace llamavision::checkpoint
