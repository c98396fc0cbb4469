// SPDX-License-Identifier: Apache-2.0
// Reads single keys of a config.json.
#pragma once

#include <llamavision/config/check.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/quoted.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint::detail {

/// The positive integer under `key`, at most `limit`; `otherwise` if it is absent.
[[nodiscard]] inline std::size_t extent_or(json_view const& object, std::string_view key, std::size_t otherwise,
                                           std::uint64_t limit = config::extent_limit) {
    auto const value = object.find(key);
    return value ? value->positive(limit) : otherwise;
}

/// The list of indices under `key`; `otherwise` if it is absent.
[[nodiscard]] inline std::vector<std::size_t> indices_or(json_view const& object, std::string_view key,
                                                         std::vector<std::size_t> otherwise) {
    auto const value = object.find(key);
    if (!value) return otherwise;
    std::vector<std::size_t> result;
    for (auto const& item : value->items()) result.push_back(item.natural(config::extent_limit));
    return result;
}

/// A norm's epsilon under `key`; `otherwise` if it is absent.
[[nodiscard]] inline double epsilon_or(json_view const& object, std::string_view key, double otherwise) {
    auto const value = object.find(key);
    return value ? value->number_between(config::least_epsilon, config::largest_epsilon) : otherwise;
}

/// Adds to `unsupported` a partial_rotary_factor, which rotates only a part of each head (transformers:
/// _compute_default_rope_parameters).
inline void refuse_partial_rotation(json_view const& object, std::vector<std::string>& unsupported) {
    if (auto const part = object.find("partial_rotary_factor"); part && part->number() != 1)
        unsupported.push_back(part->path() + ": other than 1 is not supported");
}

/// Reads the object that describes the scaling of frequencies: `rope_scaling` (4.x), or `rope_parameters` (5.x), which
/// contains theta, too. Older files say `type` for `rope_type`. Adds types other than "default" and "llama3" to
/// `unsupported`.
[[nodiscard]] inline config::rope_numbers read_scaling(json_view const& object, double theta,
                                                       std::vector<std::string>& unsupported) {
    config::rope_numbers result;
    result.theta = theta;
    if (auto const value = object.find("rope_theta")) result.theta = value->positive_number();
    refuse_partial_rotation(object, unsupported);
    auto kind = object.find("rope_type");
    if (!kind) kind = object.find("type");
    result.scaled = kind && kind->text() != "default";
    if (!result.scaled) return result;
    if (kind->text() != "llama3") {
        unsupported.push_back(kind->path() + " " + in_quotes(kind->text()) + " is not supported, \"llama3\" is");
        return result;
    }
    result.factor = object.at("factor").positive_number();
    result.low_freq_factor = object.at("low_freq_factor").positive_number();
    result.high_freq_factor = object.at("high_freq_factor").positive_number();
    result.original_context = object.at("original_max_position_embeddings").positive(INT32_MAX);
    return result;
}

/// The rotary position embedding's numbers.
/// @param theta the default, for a file without rope_theta
[[nodiscard]] inline config::rope_numbers read_rope(json_view const& text, double theta,
                                                    std::vector<std::string>& unsupported) {
    if (auto const value = text.find("rope_theta")) theta = value->positive_number();
    auto const older = text.find("rope_scaling"), newer = text.find("rope_parameters");
    refuse_partial_rotation(text, unsupported);
    config::rope_numbers plain;
    plain.theta = theta;
    plain.scaled = false;
    config::rope_numbers const result = newer   ? read_scaling(*newer, theta, unsupported)
                                        : older ? read_scaling(*older, theta, unsupported)
                                                : plain;
    if (newer && older && !(read_scaling(*older, theta, unsupported) == result))
        throw format_error(newer->place() + "contradicts rope_scaling");
    return result;
}

} // namespace llamavision::checkpoint::detail
