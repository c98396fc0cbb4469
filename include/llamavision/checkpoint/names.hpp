// SPDX-License-Identifier: Apache-2.0
// The names of tensors: Hugging Face files spell them in two ways, the library in the older one.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace llamavision::checkpoint {

/// The hub's spelling of `name`. transformers renamed the modules in memory with 4.52, and files of some tools have the
/// newer names:
///
///     model.language_model.X         language_model.model.X
///     lm_head.weight                 language_model.lm_head.weight
///     model.vision_model.X           vision_model.X
///     model.multi_modal_projector.X  multi_modal_projector.X
///
/// Every other name is returned as it is.
[[nodiscard]] inline std::string canonical_name(std::string_view name) {
    constexpr std::pair<std::string_view, std::string_view> prefixes[] = {
        {"model.language_model.", "language_model.model."},
        {"lm_head.", "language_model.lm_head."},
        {"model.vision_model.", "vision_model."},
        {"model.multi_modal_projector.", "multi_modal_projector."},
    };
    for (auto const& [newer, older] : prefixes)
        if (name.starts_with(newer)) return std::string(older) + std::string(name.substr(newer.size()));
    return std::string(name);
}

/// Whether only an adapter (PEFT: LoRA and its kin) has tensors of this name: a supplement to a model, not a model.
[[nodiscard]] inline bool is_adapter_name(std::string_view name) {
    return name.starts_with("base_model.model.") || name.find(".lora_") != std::string_view::npos;
}

/// The same tensors under canonical names; `file` is for errors. Throws format_error if two spellings of one name
/// occur, or if the tensors are an adapter's.
[[nodiscard]] inline named_tensors with_canonical_names(named_tensors source, std::string const& file) {
    named_tensors result;
    result.owners = std::move(source.owners);
    for (auto& [name, value] : source.tensors) {
        if (is_adapter_name(name))
            throw format_error(file + ": the tensor " + in_quotes(name)
                               + " belongs to an adapter (PEFT), not to a model; merge it into its base model first");
        auto canonical = canonical_name(name);
        if (result.tensors.contains(canonical))
            throw format_error(file + ": the tensor " + in_quotes(canonical) + " occurs in two spellings");
        result.tensors.emplace(std::move(canonical), std::move(value));
    }
    return result;
}

} // namespace llamavision::checkpoint
