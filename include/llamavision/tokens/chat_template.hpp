// SPDX-License-Identifier: Apache-2.0
// A checkpoint's chat template is a Jinja program. Four of them are known, each by a hash of its text: their
// conversations are written without running them. Every other one is interpreted (template/template.hpp); of one that
// cannot be, this can say at most which of the four it resembles.
#pragma once

#include <array>
#include <llamavision/support/separate.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace llamavision::tokens {

/// Whose rules a conversation is written by.
enum class preset {
    meta, ///< llama-models, chat_format.py: nothing is added; role, "\n\n" and each text are encoded by themselves
    hub,  ///< the Instruct checkpoints' template since December 2024: a system block with dates
    hub_original, ///< the same until then: an image and a system prompt exclude each other
    converter,    ///< transformers' conversion script, and the bundled model: no dates, no tools
    base ///< no frame: a base model continues what stands after <|begin_of_text|> (Meta: ChatFormat.encode_content)
};

/// All of them, with their names.
inline constexpr std::array<std::pair<preset, std::string_view>, 5> presets{{{preset::meta, "meta"},
                                                                             {preset::hub, "hub"},
                                                                             {preset::hub_original, "hub-original"},
                                                                             {preset::converter, "converter"},
                                                                             {preset::base, "base"}}};

/// The preset of that name, or nothing.
constexpr std::optional<preset> preset_of(std::string_view name) {
    for (auto const& [form, known] : presets)
        if (known == name) return form;
    return std::nullopt;
}

constexpr std::string_view name_of(preset form) {
    for (auto const& [known, name] : presets)
        if (known == form) return name;
    return {};
}

namespace detail {
/// The template in one spelling: templates that print the same texts because they differ in comments, indentation,
/// quotes or dashes alone give the same.
[[nodiscard]] LLAMAVISION_INLINE std::string plain_template(std::string_view text);
} // namespace detail

/// The preset that writes what a checkpoint's chat template (its Jinja text) writes; nothing unless the text is one
/// that is known, whatever its comments, indentation and quotes.
[[nodiscard]] LLAMAVISION_INLINE std::optional<preset> recognise(std::string_view source);

/// The preset that a template which is not known resembles, by phrases in it; nothing if it is none of these. What it
/// writes may differ.
[[nodiscard]] LLAMAVISION_INLINE std::optional<preset> resembles(std::string_view source);

} // namespace llamavision::tokens

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/tokens/chat_template.ipp>
#endif
