// SPDX-License-Identifier: Apache-2.0
// Reads generation_config.json: how answers are sampled, and the tokens that end them.
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/form/hugging_face/token_ids.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// Reads the content of a generation_config.json, which is called `file` in errors.
/// @throws format_error
[[nodiscard]] inline generation_defaults read_generation(nlohmann::json const& document, std::string const& file) {
    json_view const root(document, file);
    generation_defaults result;
    if (auto const value = root.find("do_sample")) result.do_sample = value->boolean();
    if (auto const value = root.find("temperature")) {
        result.temperature = value->number();
        if (result.temperature < 0) value->fail("a number that is not negative");
    }
    if (auto const value = root.find("top_p")) {
        result.top_p = value->positive_number();
        if (result.top_p > 1) value->fail("at most 1");
    }
    if (auto const value = root.find("top_k"); value && value->natural() != 0) result.top_k = value->natural();
    if (auto const value = root.find("repetition_penalty")) result.repetition_penalty = value->positive_number();
    result.stop_ids = token_ids(root, "eos_token_id");
    result.bos = token_id(root, "bos_token_id");
    result.pad = token_id(root, "pad_token_id");
    return result;
}

/// Reads the file `path`.
/// @throws file_error and format_error
[[nodiscard]] inline generation_defaults read_generation(std::filesystem::path const& path) {
    return read_generation(read_json(path, {.bytes = std::size_t{1} << 20}), path.string());
}

} // namespace llamavision::checkpoint
