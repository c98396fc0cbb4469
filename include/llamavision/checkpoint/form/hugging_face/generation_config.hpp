// SPDX-License-Identifier: Apache-2.0
// Reads generation_config.json: how answers are sampled, and the tokens that end them.
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/form/hugging_face/token_ids.hpp>
#include <llamavision/checkpoint/understood.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// The keys of generation_config.json (transformers 4.54.1: GenerationConfig). What is obeyed is read below.
inline constexpr std::array generation_keys{
    known_key{"do_sample"},
    known_key{"temperature"},
    known_key{"top_p"},
    known_key{"top_k"},
    known_key{"repetition_penalty"},
    known_key{"eos_token_id"},
    known_key{"bos_token_id"},
    known_key{"pad_token_id"},
    known_key{"max_new_tokens"},
    known_key{"stop_strings"},
    // These change how answers are computed or returned, not what they say.
    known_key{"_from_model_config"},
    known_key{"transformers_version"},
    known_key{"use_cache"},
    known_key{"cache_implementation"},
    known_key{"cache_config"},
    known_key{"return_legacy_cache"},
    known_key{"return_dict_in_generate"},
    known_key{"output_scores"},
    known_key{"output_logits"},
    known_key{"output_attentions"},
    known_key{"output_hidden_states"},
    known_key{"decoder_start_token_id"},
    known_key{"low_memory"},
    known_key{"is_assistant"},
    known_key{"num_assistant_tokens"},
    known_key{"num_assistant_tokens_schedule"},
    known_key{"assistant_confidence_threshold"},
    known_key{"assistant_early_exit"},
    known_key{"assistant_lookbehind"},
    known_key{"target_lookbehind"},
    known_key{"prompt_lookup_num_tokens"},
    known_key{"max_matching_ngram_size"},
    known_key{"compile_config"},
    known_key{"disable_compile"},
    known_key{"prefill_chunk_size"},
    // These change answers. With each its default, which changes nothing.
    known_key{"max_length", true, "20"},
    known_key{"min_length", true, "0"},
    known_key{"min_new_tokens", true, "0"},
    known_key{"max_time", true},
    known_key{"early_stopping", true, "false"},
    known_key{"num_beams", true, "1"},
    known_key{"num_beam_groups", true, "1"},
    known_key{"num_return_sequences", true, "1"},
    known_key{"diversity_penalty", true, "0.0"},
    known_key{"length_penalty", true, "1.0"},
    known_key{"penalty_alpha", true, "0.0"},
    known_key{"dola_layers", true},
    known_key{"min_p", true, "0.0"},
    known_key{"top_h", true},
    known_key{"typical_p", true, "1.0"},
    known_key{"epsilon_cutoff", true, "0.0"},
    known_key{"eta_cutoff", true, "0.0"},
    known_key{"encoder_repetition_penalty", true, "1.0"},
    known_key{"no_repeat_ngram_size", true, "0"},
    known_key{"encoder_no_repeat_ngram_size", true, "0"},
    known_key{"bad_words_ids", true},
    known_key{"force_words_ids", true},
    known_key{"constraints", true},
    known_key{"forced_bos_token_id", true},
    known_key{"forced_eos_token_id", true},
    known_key{"forced_decoder_ids", true},
    known_key{"suppress_tokens", true},
    known_key{"begin_suppress_tokens", true},
    known_key{"sequence_bias", true},
    known_key{"exponential_decay_length_penalty", true},
    known_key{"renormalize_logits", true, "false"},
    known_key{"remove_invalid_values", true, "false"},
    known_key{"token_healing", true, "false"},
    known_key{"guidance_scale", true, "1.0"},
    known_key{"watermarking_config", true},
};

namespace detail {

/// A number of tokens to draw from; 0 and -1 stand for all of them.
[[nodiscard]] inline std::optional<std::size_t> read_top_k(json_view const& value) {
    if (value.json() == 0 || value.json() == -1) return std::nullopt;
    return value.natural();
}

/// One text or a list of texts, none of them empty.
[[nodiscard]] inline std::vector<std::string> read_stop_strings(json_view const& value) {
    std::vector<std::string> texts;
    if (value.json().is_string())
        texts.push_back(value.text());
    else
        for (auto const& item : value.items()) texts.push_back(item.text());
    for (auto const& text : texts)
        if (text.empty()) value.fail("texts that are not empty");
    return texts;
}

} // namespace detail

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
    if (auto const value = root.find("top_p")) result.top_p = value->number_between(0, 1);
    if (auto const value = root.find("top_k")) result.top_k = detail::read_top_k(*value);
    if (auto const value = root.find("max_new_tokens")) result.max_tokens = value->natural();
    if (auto const value = root.find("stop_strings")) result.stop_strings = detail::read_stop_strings(*value);
    if (auto const value = root.find("repetition_penalty")) result.repetition_penalty = value->positive_number();
    result.stop_ids = token_ids(root, "eos_token_id");
    result.bos = token_id(root, "bos_token_id");
    result.pad = token_id(root, "pad_token_id");
    return result;
}

/// The same, and what of it is not obeyed is added to `warnings`.
/// @throws format_error
[[nodiscard]] inline generation_defaults read_generation(nlohmann::json const& document, std::string const& file,
                                                         std::vector<std::string>& warnings) {
    auto result = read_generation(document, file);
    if (auto what = unheeded_warning(file, unheeded(document, generation_keys)); !what.empty())
        warnings.push_back(std::move(what));
    return result;
}

/// Reads the file `path`.
/// @throws file_error and format_error
[[nodiscard]] inline generation_defaults read_generation(std::filesystem::path const& path,
                                                         std::vector<std::string>& warnings) {
    return read_generation(read_json(path, {.bytes = std::size_t{1} << 20}), path.string(), warnings);
}

} // namespace llamavision::checkpoint
