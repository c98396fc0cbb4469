// SPDX-License-Identifier: Apache-2.0
// Reads preprocessor_config.json (in transformers 5: processor_config.json): how a picture becomes tiles.
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/text_file.hpp>

#include <array>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace llamavision::checkpoint {

/// The values of Meta's code and of every published checkpoint: CLIP's mean and deviation.
[[nodiscard]] inline preprocessor published_preprocessor(std::size_t tile, std::size_t tiles) {
    return {tile, tiles, {0.48145466, 0.4578275, 0.40821073}, {0.26862954, 0.26130258, 0.27577711}, 1.0 / 255.0};
}

namespace detail {

/// A number for each of the three channels. The file has one number for all, or a list of three.
[[nodiscard]] inline std::array<double, 3> channels(json_view const& value, double least, double most) {
    std::array<double, 3> result{};
    if (!value.json().is_array()) {
        result.fill(value.number_between(least, most));
        return result;
    }
    auto const items = value.items();
    if (items.size() != 3) value.fail("three numbers");
    for (std::size_t i = 0; i < items.size(); ++i) result[i] = items[i].number_between(least, most);
    return result;
}

[[nodiscard]] inline bool flag(json_view const& object, std::string_view key) {
    auto const value = object.find(key);
    return !value || value->boolean();
}

} // namespace detail

/// Reads the object of the image processor.
/// @throws format_error, and mismatch_error for a preparation that no checkpoint of this model uses: without resizing
///         or padding, not bilinear, or with tiles that are not square
[[nodiscard]] inline preprocessor read_preprocessor(json_view const& object) {
    preprocessor result;
    if (auto const size = object.find("size")) {
        bool const bare = size->json().is_number();
        result.tile = (bare ? *size : size->at("height")).positive(16384);
        if (!bare && size->at("width").positive(16384) != result.tile)
            throw mismatch_error(size->place() + "tiles that are not square are not supported");
    }
    if (auto const value = object.find("max_image_tiles")) result.tiles = value->positive(64);
    // The bounds fit values from 0 to 255 and values that were rescaled; within them, tiles are always finite.
    if (auto const value = object.find("image_mean")) result.mean = detail::channels(*value, -1000, 1000);
    if (auto const value = object.find("image_std")) result.deviation = detail::channels(*value, 1e-4, 1000);
    if (auto const value = object.find("rescale_factor")) result.rescale = value->number_between(1e-6, 1000);
    if (!detail::flag(object, "do_rescale")) result.rescale = 1.0;
    if (!detail::flag(object, "do_normalize")) {
        result.mean = {0, 0, 0};
        result.deviation = {1, 1, 1};
    }
    for (char const* const key : {"do_resize", "do_pad"})
        if (!detail::flag(object, key)) throw mismatch_error(object.at(key).place() + "false is not supported");
    if (auto const value = object.find("resample"); value && value->natural() != 2)
        throw mismatch_error(value->place() + std::to_string(value->natural()) + " is not supported, 2 (bilinear) is");
    return result;
}

/// Reads processor_config.json of `folder` if it describes the image processor (as in transformers 5), else
/// preprocessor_config.json. Empty if there is neither.
/// @throws file_error, format_error and mismatch_error
[[nodiscard]] inline std::optional<preprocessor> find_preprocessor(std::filesystem::path const& folder) {
    constexpr json_limits limits{.bytes = std::size_t{4} << 20};
    if (auto const path = folder / "processor_config.json"; has_entry(path)) {
        auto const document = read_json(path, limits);
        if (auto const object = json_view(document, path.string()).find("image_processor"))
            return read_preprocessor(*object);
    }
    auto const path = folder / "preprocessor_config.json";
    if (!has_entry(path)) return std::nullopt;
    auto const document = read_json(path, limits);
    return read_preprocessor(json_view(document, path.string()));
}

} // namespace llamavision::checkpoint
