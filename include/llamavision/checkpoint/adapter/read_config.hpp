// SPDX-License-Identifier: Apache-2.0
// Reads PEFT's adapter_config.json: the kind of the adapter, and the scale of its products.
#pragma once

#include <llamavision/checkpoint/adapter/config.hpp>
#include <llamavision/checkpoint/understood.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// The keys of adapter_config.json (PEFT 0.13 to 0.21: LoraConfig). Which modules were trained, the tensors tell.
inline constexpr std::array adapter_keys{
    // Read, or refused, below.
    known_key{"peft_type"},
    known_key{"r"},
    known_key{"lora_alpha"},
    known_key{"use_rslora"},
    known_key{"base_model_name_or_path"},
    known_key{"rank_pattern"},
    known_key{"alpha_pattern"},
    known_key{"init_lora_weights"},
    known_key{"use_dora"},
    known_key{"use_qalora"},
    known_key{"use_bdlora"},
    known_key{"lora_bias"},
    known_key{"fan_in_fan_out"},
    known_key{"layer_replication"},
    known_key{"megatron_config"},
    known_key{"trainable_token_indices"},
    known_key{"target_parameters"},
    known_key{"alora_invocation_tokens"},
    known_key{"arrow_config"},
    known_key{"kasa_config"},
    known_key{"monteclora_config"},
    known_key{"loftq_config"},
    known_key{"eva_config"},
    known_key{"corda_config"},
    known_key{"velora_config"},
    known_key{"lora_ga_config"},
    known_key{"runtime_config"},
    // How it was trained and is stored.
    known_key{"peft_version"},
    known_key{"auto_mapping"},
    known_key{"revision"},
    known_key{"task_type"},
    known_key{"inference_mode"},
    known_key{"target_modules"},
    known_key{"exclude_modules"},
    known_key{"lora_dropout"},
    known_key{"bias"},
    known_key{"modules_to_save"},
    known_key{"layers_to_transform"},
    known_key{"layers_pattern"},
    known_key{"megatron_core"},
    known_key{"qalora_group_size"},
    known_key{"ensure_weight_tying"},
    known_key{"unsloth_fixed"},
    known_key{"unsloth_version"},
};

namespace detail {

/// Whether PEFT's pattern `key` matches the module `name`. PEFT matches the regular expression "(.*\.)?(KEY)$". Here a
/// key may contain a dot, escaped or not, and "^" at its beginning; check_pattern refuses all others.
[[nodiscard]] inline bool names_module(std::string_view key, std::string_view name) {
    bool const whole = key.starts_with('^');
    if (whole) key.remove_prefix(1);
    std::string plain; // '\0' matches any character
    for (std::size_t i = 0; i < key.size(); ++i) {
        bool const escaped = key[i] == '\\' && i + 1 < key.size();
        if (escaped) ++i;
        plain += key[i] == '.' && !escaped ? '\0' : key[i];
    }
    if (plain.size() > name.size()) return false;
    std::size_t const begin = name.size() - plain.size();
    if (begin != 0 && (whole || name[begin - 1] != '.')) return false;
    for (std::size_t i = 0; i < plain.size(); ++i)
        if (plain[i] != '\0' && plain[i] != name[begin + i]) return false;
    return true;
}

inline void check_pattern(std::string const& key, json_view const& where) {
    for (std::size_t i = 0; i < key.size(); ++i) {
        if (key[i] == '\\' && i + 1 < key.size() && key[i + 1] == '.') continue;
        if ((key[i] == '^' && i != 0) || std::string_view("\\$*+?()[]{}|").find(key[i]) != std::string_view::npos)
            throw mismatch_error(where.place() + "the pattern " + in_quotes(key)
                                 + " is a regular expression, of which only names are supported");
    }
}

/// Checks that the adapter is a plain LoRA.
/// @throws mismatch_error for every kind that would be merged wrongly
inline void refuse_other_adapters(json_view const& root) {
    auto const refuse = [&](std::string const& what) {
        throw mismatch_error(root.place() + what + "; LoRA (PEFT) is supported. Merge it with its own tools first");
    };
    auto const type = root.at("peft_type").text();
    if (type != "LORA") refuse("the adapter's peft_type is " + in_quotes(type));
    auto const is_set = [](json_view const& value) {
        return value.json() != nullptr && value.json() != false && value.json() != nlohmann::json::array()
               && value.json() != nlohmann::json::object();
    };
    for (auto const& [key, name] : {std::pair("use_dora", "DoRA"),
                                    {"use_qalora", "QALoRA"},
                                    {"use_bdlora", "block-diagonal LoRA"},
                                    {"kasa_config", "KaSA"},
                                    {"monteclora_config", "Monte Carlo LoRA"},
                                    {"lora_bias", "LoRA with a bias"},
                                    {"fan_in_fan_out", "LoRA of transposed layers"},
                                    {"layer_replication", "replicated layers"},
                                    {"megatron_config", "Megatron's layers"},
                                    {"trainable_token_indices", "single trained tokens"},
                                    {"target_parameters", "LoRA of bare parameters"},
                                    {"alora_invocation_tokens", "activated LoRA"},
                                    {"arrow_config", "routing among adapters"}})
        if (auto const value = root.find(key); value && is_set(*value))
            refuse(std::string("the adapter is ") + name + " (" + key + ")");
    for (auto const& [key, value] : root.members()) { // kinds of LoRA from later releases of PEFT
        constexpr std::string_view harmless[] = {"use_rslora",    "loftq_config",   "eva_config",    "corda_config",
                                                 "velora_config", "lora_ga_config", "runtime_config"};
        bool const kind = key.starts_with("use_") || key.ends_with("_config");
        if (kind && is_set(value) && std::find(std::begin(harmless), std::end(harmless), key) == std::end(harmless))
            refuse("the adapter was made with " + in_quotes(key) + ", which this library does not know");
    }
    auto const start = root.find("init_lora_weights");
    if (!start || !start->json().is_string()) return;
    for (char const* const kind : {"pissa", "olora", "corda", "loftq", "lora_ga"}) // these have a *_config, too
        if (start->text().starts_with(kind))
            refuse("init_lora_weights is " + in_quotes(start->text())
                   + ", which changes the base model's weights as well");
}

} // namespace detail

/// Reads the content of an adapter_config.json, which is called `file` in errors.
/// @throws format_error, and mismatch_error for adapters of other kinds
[[nodiscard]] inline adapter_config read_adapter_config(nlohmann::json const& document, std::string const& file) {
    json_view const root(document, file);
    detail::refuse_other_adapters(root);
    adapter_config result;
    constexpr std::size_t limit = std::size_t{1} << 20;
    if (auto const value = root.find("r")) result.rank = value->positive(limit);
    if (auto const value = root.find("lora_alpha")) result.alpha = value->number();
    if (auto const value = root.find("use_rslora")) result.by_root = value->boolean();
    if (auto const value = root.find("base_model_name_or_path")) result.base = value->text();
    if (auto what = unheeded_warning(file, unheeded(document, adapter_keys)); !what.empty())
        result.warnings.push_back(std::move(what));
    if (auto const patterns = root.find("rank_pattern"))
        for (auto const& [key, value] : patterns->members()) {
            detail::check_pattern(key, value);
            result.ranks.emplace_back(key, value.positive(limit));
        }
    if (auto const patterns = root.find("alpha_pattern"))
        for (auto const& [key, value] : patterns->members()) {
            detail::check_pattern(key, value);
            result.alphas.emplace_back(key, value.number());
        }
    return result;
}

/// Reads the file `path`.
/// @throws file_error, and as above
[[nodiscard]] inline adapter_config read_adapter_config(std::filesystem::path const& path) {
    return read_adapter_config(read_json(path, {.bytes = std::size_t{4} << 20}), path.string());
}

/// The scale of the product B · A of the module `name` (PEFT's, without "base_model.model."), whose rank is `rank`.
/// @throws mismatch_error if patterns contradict each other
[[nodiscard]] inline double adapter_scale(adapter_config const& config, std::string const& name, std::size_t rank) {
    double alpha = config.alpha;
    bool found = false;
    for (auto const& [key, value] : config.alphas) {
        if (!detail::names_module(key, name)) continue;
        if (found && alpha != value) // PEFT takes the first in the file
            throw mismatch_error("adapter_config.json: alpha_pattern has several values for " + in_quotes(name));
        alpha = value;
        found = true;
    }
    auto const r = static_cast<double>(rank);
    return alpha / (config.by_root ? std::sqrt(r) : r);
}

} // namespace llamavision::checkpoint
