// SPDX-License-Identifier: Apache-2.0
// The names of tensors. Files of Llama 3.2 Vision have two spellings; the library uses the older one, that of the
// published files. Text models (LlamaForCausalLM) have one spelling, model.X and lm_head.weight, which the library uses
// for them.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace llamavision::checkpoint {

/// The library's spelling of `name`. transformers 4.52 renamed the modules in memory, and some tools write the newer
/// names:
///
///     model.language_model.X         language_model.model.X
///     lm_head.weight                 language_model.lm_head.weight
///     model.vision_model.X           vision_model.X
///     model.multi_modal_projector.X  multi_modal_projector.X
///
/// mlx-vlm calls the tower vision_tower.X, which is vision_model.X.
///
/// The text half saved alone (MllamaForCausalLM) has other names, except for the newer name of the head:
///
///     model.embed_tokens.X           language_model.model.embed_tokens.X
///     model.layers.X                 language_model.model.layers.X
///     model.norm.X                   language_model.model.norm.X
///
/// All other names are returned unchanged, and so are all names of a text model.
[[nodiscard]] inline std::string canonical_name(std::string_view name, config::family kind = config::family::mllama) {
    if (kind == config::family::llama) return std::string(name);
    constexpr std::pair<std::string_view, std::string_view> prefixes[] = {
        {"model.language_model.", "language_model.model."},
        {"lm_head.", "language_model.lm_head."},
        {"model.vision_model.", "vision_model."},
        {"vision_tower.", "vision_model."},
        {"model.multi_modal_projector.", "multi_modal_projector."},
        {"model.embed_tokens.", "language_model.model.embed_tokens."},
        {"model.layers.", "language_model.model.layers."},
        {"model.norm.", "language_model.model.norm."},
    };
    for (auto const& [newer, older] : prefixes)
        if (name.starts_with(newer)) return std::string(older) + std::string(name.substr(newer.size()));
    return std::string(name);
}

/// Whether the tensors, under canonical names, are those of a model without a vision tower: a text model, or the text
/// half of Llama 3.2 Vision.
[[nodiscard]] inline bool is_text_alone(named_tensors const& tensors) {
    auto const any = [&tensors](std::string_view prefix) {
        auto const at = tensors.tensors.lower_bound(prefix);
        return at != tensors.tensors.end() && std::string_view(at->first).starts_with(prefix);
    };
    return (any("language_model.") || any("model.")) && !any("vision_model.") && !any("multi_modal_projector.");
}

/// The tensors of a model without a vision tower, which have canonical names, under the names that transformers saves:
/// without the prefix "language_model.".
[[nodiscard]] inline named_tensors with_names_of_text_alone(named_tensors const& source) {
    constexpr std::string_view prefix = "language_model.";
    named_tensors result;
    result.owners = source.owners;
    for (auto const& [name, value] : source.tensors)
        result.tensors.emplace(name.starts_with(prefix) ? name.substr(prefix.size()) : name, value);
    return result;
}

/// Whether the name is one that only adapters (PEFT: LoRA and others) have.
[[nodiscard]] inline bool is_adapter_name(std::string_view name) {
    return name.starts_with("base_model.model.") || name.find(".lora_") != std::string_view::npos;
}

/// The same tensors under canonical names. `file` is the file's name in errors.
/// @throws format_error if one name occurs in two spellings, or if the tensors are an adapter's
[[nodiscard]] inline named_tensors with_canonical_names(named_tensors source, std::string const& file,
                                                        config::family kind = config::family::mllama) {
    named_tensors result;
    result.owners = std::move(source.owners);
    for (auto& [name, value] : source.tensors) {
        if (is_adapter_name(name))
            throw format_error(file + ": the tensor " + in_quotes(name)
                               + " belongs to an adapter (PEFT), not to a model; give it beside its base model "
                                 "(load_options::adapter, --adapter)");
        auto canonical = canonical_name(name, kind);
        if (result.tensors.contains(canonical))
            throw format_error(file + ": the tensor " + in_quotes(canonical) + " occurs in two spellings");
        result.tensors.emplace(std::move(canonical), std::move(value));
    }
    return result;
}

} // namespace llamavision::checkpoint
