// SPDX-License-Identifier: Apache-2.0
// What loading does that depends on no configuration: small files become defaults and a tokenizer, an adapter is
// merged.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/adapter/adapter.hpp>
#include <llamavision/checkpoint/encoding/widen.hpp>
#include <llamavision/checkpoint/fingerprint.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/runtime/conversation/chat_choice.hpp>
#include <llamavision/runtime/conversation/open_tokenizer.hpp>
#include <llamavision/runtime/load.hpp>

namespace llamavision::detail {

/// What the description says about pictures, conversations and answers.
inline model_defaults defaults_of(checkpoint::description const& d, std::optional<tokens::tokenizer> const& tokenizer,
                                  load_options const& options) {
    model_defaults m;
    checkpoint::preprocessor const& p = d.pictures;
    m.pictures = {p.tile, p.tiles, {p.mean, p.deviation, p.rescale}, options.resize};
    m.warnings = d.warnings;
    m.chat = chat_options_of(d, tokenizer, options.chat, m.warnings);
    m.chat.date = options.date;
    checkpoint::generation_defaults const& g = d.generation;
    m.answers.greedy = !g.do_sample;
    m.answers.sampling.temperature = g.temperature;
    m.answers.sampling.top_p = g.top_p;
    m.answers.sampling.top_k = g.top_k.value_or(0);
    m.answers.sampling.repetition_penalty = g.repetition_penalty;
    m.answers.stop_ids.assign(g.stop_ids.begin(), g.stop_ids.end());
    for (std::string const& text : g.stop_strings) {
        // Answers' text has no special tokens in it, so the name of one means its id.
        auto const mark = tokenizer ? tokenizer->special(text) : std::nullopt;
        if (mark)
            m.answers.stop_ids.push_back(*mark);
        else
            m.answers.stop_strings.push_back(text);
    }
    m.answers.max_tokens = g.max_tokens;
    m.answers.seed = g.seed.value_or(0);
    m.system = d.system;
    m.taps_after_layer = options.taps_after_layer;
    return m;
}

/// The checkpoint's tokenizer; nothing if it has none.
/// @throws mismatch_error if its ids are not the network's
inline std::optional<tokens::tokenizer> open_tokenizer_for(checkpoint::description const& d, config::numbers const& n) {
    auto tokenizer = open_tokenizer(d);
    if (tokenizer && static_cast<std::size_t>(tokenizer->image()) != n.text.vocabulary)
        throw mismatch_error(tokenizer_place(d) + ": the tokenizer's image id is " + std::to_string(tokenizer->image())
                             + ", the model's is " + std::to_string(n.text.vocabulary));
    return tokenizer;
}

/// A text that changes when the weights' files do, for a packed file.
inline std::string source_of(checkpoint::opened const& folder, load_options const& options) {
    if (options.packed.empty()) return {};
    std::vector<std::filesystem::path> files(folder.weights.files.begin(), folder.weights.files.end());
    if (!options.adapter.empty())
        for (auto const& entry : std::filesystem::directory_iterator(options.adapter))
            if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin() + static_cast<std::ptrdiff_t>(folder.weights.files.size()), files.end());
    return checkpoint::fingerprint(files) + " " + std::to_string(static_cast<int>(options.gguf)) + " "
           + std::string(checkpoint::name_of(options.blocks_as));
}

inline std::string line_each(std::vector<std::string> const& sentences) {
    std::string text;
    for (std::string const& s : sentences) text += "\n  " + s;
    return text;
}

LLAMAVISION_INLINE loaded_parts load_parts(checkpoint::opened folder, config::numbers const& numbers,
                                           load_options const& options) {
    loaded_parts parts;
    parts.tokenizer = open_tokenizer_for(folder, numbers);
    parts.defaults = defaults_of(folder, parts.tokenizer, options);
    std::optional<checkpoint::adapter> adapter;
    if (!options.adapter.empty()) {
        adapter = checkpoint::open_adapter(options.adapter);
        bool const base = parts.tokenizer && is_base(folder, *parts.tokenizer);
        auto& warnings = parts.defaults.warnings;
        warnings.insert(warnings.end(), adapter->config.warnings.begin(), adapter->config.warnings.end());
        auto other = checkpoint::other_base_warning(*adapter, base);
        if (!other.empty()) warnings.push_back(std::move(other));
    }
    if (options.on_warning)
        for (std::string const& warning : parts.defaults.warnings) options.on_warning(warning);
    checkpoint::widen_blocks(folder.tensors, options.blocks_as);
    if (adapter) folder.tensors = checkpoint::merge_adapter(std::move(folder.tensors), *adapter);
    parts.how.formats = options.weights;
    parts.how.on_repack = options.on_repack;
    parts.how.packed = {options.packed, source_of(folder, options)};
    parts.how.beyond_memory = options.beyond_memory;
    auto const& silent = folder.model->unstated;
    if (std::find(silent.begin(), silent.end(), "text.context") == silent.end())
        parts.how.positions = folder.model->values.text.context;
    parts.how.planned = {options.context, options.pictures, options.conversations};
    parts.tensors = std::move(folder.tensors);
    return parts;
}

LLAMAVISION_INLINE void require_numbers(std::filesystem::path const& path, checkpoint::description const& d,
                                        config::numbers const& numbers, std::string_view name) {
    auto const differ = config::differences(d.model->values, numbers, d.model->unstated);
    if (!differ.empty())
        throw mismatch_error(path.string() + ": is not a " + std::string(name) + ":" + line_each(differ));
}

LLAMAVISION_INLINE mismatch_error fits_none(std::filesystem::path const& path, checkpoint::description const& d,
                                            std::span<config::numbers const> known,
                                            std::span<std::string_view const> names) {
    std::vector<std::string> nearest;
    std::string nearest_name;
    for (std::size_t i = 0; i < known.size(); ++i) {
        auto differ = config::differences(d.model->values, known[i], d.model->unstated);
        if (i > 0 && differ.size() >= nearest.size()) continue;
        nearest = std::move(differ);
        nearest_name = names[i];
    }
    return mismatch_error(path.string() + ": has the numbers of no configuration of this program; nearest is "
                          + nearest_name + ":" + line_each(nearest));
}

} // namespace llamavision::detail
