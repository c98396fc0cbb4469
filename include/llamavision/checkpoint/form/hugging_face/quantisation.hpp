// SPDX-License-Identifier: Apache-2.0
// The settings of quantised weights: in config.json, or in a file of their own that older releases of some libraries
// wrote beside it.
#pragma once

#include <llamavision/checkpoint/model_config.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/text_file.hpp>

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace llamavision::checkpoint {

/// Reads quantization_config of an object of config.json, or MLX's `quantization`, which lacks a quant_method.
/// @throws format_error if one is no object
inline void read_quantisation(json_view const& object, model_config& result) {
    for (char const* const key : {"quantization_config", "quantization"}) {
        auto const settings = object.find(key);
        if (!settings || result.quantisation) continue;
        settings->object();
        auto const method = settings->find("quant_method");
        bool const of_mlx = !method && settings->find("bits") && settings->find("group_size");
        std::string name = method ? method->text() : of_mlx ? "mlx" : "";
        result.quantisation = {std::move(name), settings->json().dump(), settings->file(), settings->path()};
    }
}

/// Reads a file of settings in `folder` where config.json has none.
/// @throws file_error, format_error
inline void read_quantisation_beside(std::filesystem::path const& folder, model_config& result) {
    constexpr std::pair<char const*, char const*> files[] = {
        {"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}, {"hf_quant_config.json", "modelopt"}};
    for (auto const& [name, method] : files) {
        auto const path = folder / name;
        if (result.quantisation || !has_entry(path)) continue;
        auto const document = read_json(path, {.bytes = std::size_t{4} << 20});
        json_view const settings(document, path.string());
        auto const said = settings.find("quant_method");
        result.quantisation = {said ? said->text() : method, document.dump(), path.string(), ""};
    }
}

} // namespace llamavision::checkpoint
