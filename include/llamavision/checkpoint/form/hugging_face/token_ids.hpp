// SPDX-License-Identifier: Apache-2.0
// Reads token ids in Hugging Face's JSON files: an integer, a list of integers, null, or -1 for none.
#pragma once

#include <llamavision/support/json_view.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint {

/// The id under `key`; empty if it is absent, null or -1.
/// @throws format_error
[[nodiscard]] inline std::optional<std::int32_t> token_id(json_view const& object, std::string_view key) {
    auto const value = object.find(key);
    if (!value || value->json() == -1) return std::nullopt;
    return static_cast<std::int32_t>(value->natural(INT32_MAX));
}

/// The ids under `key`, which holds one or a list; empty if it is absent or null.
/// @throws format_error
[[nodiscard]] inline std::vector<std::int32_t> token_ids(json_view const& object, std::string_view key) {
    auto const value = object.find(key);
    if (!value) return {};
    if (!value->json().is_array()) return {static_cast<std::int32_t>(value->natural(INT32_MAX))};
    std::vector<std::int32_t> result;
    for (auto const& item : value->items()) result.push_back(static_cast<std::int32_t>(item.natural(INT32_MAX)));
    return result;
}

} // namespace llamavision::checkpoint
