// SPDX-License-Identifier: Apache-2.0
// Reads a checkpoint, collects all its faults, and counts.
#include "inspection.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <span>
#include <utility>

#include <llamavision/checkpoint/encoding/widen.hpp>
#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/model/expected_tensors.hpp>
#include <llamavision/runtime/conversation/chat_choice.hpp>
#include <llamavision/runtime/conversation/open_tokenizer.hpp>
#include <llamavision/support/text_file.hpp>

#include "leftovers.hpp"

namespace lv = llamavision;

namespace program {

namespace {

enum part_index { tower, projector, self_layers, cross_layers, embeddings, rest, whole };

part_index part_of(std::string_view name, std::vector<std::size_t> const& cross) {
    constexpr std::string_view layers = "language_model.model.layers.";
    if (name.starts_with("vision_model.")) return tower;
    if (name.starts_with("multi_modal_projector.")) return projector;
    if (name.starts_with(layers)) {
        std::size_t index = 0;
        std::from_chars(name.data() + layers.size(), name.data() + name.size(), index);
        return std::find(cross.begin(), cross.end(), index) == cross.end() ? self_layers : cross_layers;
    }
    return name.starts_with("language_model.") ? embeddings : rest;
}

void count(part& p, lv::checkpoint::tensor const& tensor) {
    ++p.tensors;
    auto const bytes = static_cast<double>(lv::checkpoint::stored_size(tensor));
    p.bytes += bytes;
    p.parameters += static_cast<double>(lv::checkpoint::values_of(tensor));
    if (!tensor.stored) return static_cast<void>(p.types.emplace(lv::checkpoint::name_of(tensor.type)));
    p.types.emplace(std::to_string(lv::checkpoint::bits_of(*tensor.stored)) + "-bit");
    ++p.quantised;
    p.quantised_bytes += bytes;
}

std::vector<part> count_parts(lv::checkpoint::named_tensors const& tensors, std::vector<std::size_t> const& cross) {
    std::vector<part> parts(whole + 1);
    constexpr std::array names{
        "vision tower", "projector",  "self-attention layers", "cross-attention layers", "embeddings, head",
        "other",        "whole model"};
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i].name = names[i];
    for (auto const& [name, tensor] : tensors.tensors)
        for (part* const p : {&parts[part_of(name, cross)], &parts[whole]}) count(*p, tensor);
    if (parts[rest].tensors == 0) parts.erase(parts.begin() + rest);
    return parts;
}

void count_blocks(inspection& i, lv::checkpoint::named_tensors const& tensors) {
    for (auto const& [name, tensor] : tensors.tensors) {
        if (!lv::checkpoint::is_block_type(tensor.type)) continue;
        bool const stays = lv::checkpoint::is_computed_in_blocks(tensor.type);
        (stays ? i.computed_in : i.widened).emplace(lv::checkpoint::name_of(tensor.type));
        if (stays) continue;
        i.block_bytes += static_cast<double>(lv::checkpoint::size_in_bytes(tensor));
        i.widened_bytes += static_cast<double>(lv::checkpoint::values_of(tensor)) * 2;
    }
}

void find_nearest(inspection& i) {
    lv::config::numbers const& numbers = i.checkpoint.model->values;
    i.configuration = find_built_in(numbers, i.checkpoint.model->unstated);
    if (i.configuration) return;
    for (built_in const& b : built_ins()) {
        auto differ = lv::config::differences(numbers, b.numbers, i.checkpoint.model->unstated);
        if (!i.nearest.empty() && differ.size() >= i.differences.size()) continue;
        i.nearest = b.name;
        i.differences = std::move(differ);
    }
}

/// The model's vocabulary, without tokens that fine-tuning added to it.
std::size_t base_vocabulary(inspection const& i) {
    return i.configuration ? i.configuration->numbers.text.vocabulary : i.checkpoint.model->values.text.vocabulary;
}

void read_tokenizer(inspection& i) {
    auto const place = lv::tokenizer_place(i.checkpoint);
    if (place.empty()) {
        i.warnings.push_back(i.checkpoint.folder.string()
                             + ": has neither tokenizer.json nor tokenizer.model; only ids can be read");
        return;
    }
    auto const tokenizer = lv::open_tokenizer(i.checkpoint).value();
    i.base = lv::is_base(i.checkpoint, tokenizer);
    i.tokenizer = std::filesystem::path(place).filename().string() + ", "
                  + lv::grouped(static_cast<std::size_t>(tokenizer.ordinary())) + " ordinary tokens";
    if (i.checkpoint.model && static_cast<std::size_t>(tokenizer.image()) != base_vocabulary(i))
        i.problems.push_back(place + ": its image id is " + std::to_string(tokenizer.image()) + ", the model's is "
                             + std::to_string(base_vocabulary(i)));
}

/// "the hub's format, with dates"
std::string format_text(lv::tokens::preset form) {
    using lv::tokens::preset;
    switch (form) {
    case preset::hub: return "the hub's format, with dates";
    case preset::hub_original: return "the hub's first format, no system prompt beside images";
    case preset::converter: return "the format of transformers' conversion script";
    case preset::base: return "none: a base model, which continues texts and was not taught to answer";
    case preset::meta: break;
    }
    return "Meta's format";
}

void read_conversations(inspection& i) {
    lv::checkpoint::template_source const& chat = i.checkpoint.chat;
    lv::chat_choice const choice = lv::choose_chat(chat, i.base);
    std::string const file = chat.text.empty() ? "" : " (" + chat.file.filename().string() + ")";
    if (choice.own) {
        i.conversations = "the checkpoint's own chat template" + file;
    } else if (!choice.warning.empty()) {
        i.conversations = (chat.text.empty() ? "chat templates of which none is the default"
                                             : "a chat template that is not interpreted" + file)
                          + "; used is " + format_text(choice.form);
    } else if (chat.text.empty() && !i.base) {
        i.conversations = "no chat template; Meta's format is used";
    } else {
        i.conversations = format_text(choice.form) + file;
    }
    if (choice.own_for_tools)
        i.conversations += "; with tools another template (" + chat.for_tools_file.filename().string() + ")";
    if (!choice.warning.empty()) i.warnings.push_back(choice.warning);
}

/// Throws mismatch_error unless these are the tensors that the model's numbers ask for.
void check_tensors(lv::checkpoint::model_config const& model, lv::checkpoint::named_tensors tensors) {
    lv::config::numbers n = model.values;
    // vocab_size counts tokens that fine-tuning added; the image's id tells how many there were before.
    if (n.kind == lv::config::family::mllama && model.image_token > 0)
        n.text.vocabulary = std::min(n.text.vocabulary, static_cast<std::size_t>(model.image_token));
    auto const& unstated = model.unstated;
    auto const projector = tensors.tensors.find("multi_modal_projector.weight");
    if (projector != tensors.tensors.end() && projector->second.shape.size() == 2
        && std::find(unstated.begin(), unstated.end(), "vision.taps") != unstated.end())
        n.vision.taps.resize(std::max(projector->second.shape[1] / n.vision.width, std::size_t{1}) - 1);
    bool const sees = !model.text_alone && !lv::checkpoint::is_text_alone(tensors);
    lv::binder tensors_of(std::move(tensors));
    lv::matrix unused;
    for (lv::weight_facts const& w : lv::expected_tensors(n, sees)) tensors_of.bind(w, unused);
    tensors_of.check();
}

adapter_facts facts_of(lv::checkpoint::adapter const& adapter) {
    adapter_facts facts{adapter.config, {}, 0, {}};
    for (auto const& [name, tensor] : adapter.tensors.tensors) {
        count(facts.size, tensor);
        auto const factor = name.find(".lora_");
        if (factor == std::string::npos)
            ++facts.whole;
        else
            facts.modules.insert(name.substr(0, factor).substr(name.rfind('.', factor - 1) + 1));
    }
    return facts;
}

} // namespace

std::optional<lv::memory_plan> check_fit(lv::checkpoint::model_config const& model, built_in const* known,
                                         lv::checkpoint::named_tensors tensors, std::filesystem::path const& path) {
    lv::checkpoint::widen_blocks(tensors, lv::checkpoint::dtype::f16);
    try {
        if (known) return known->plan(std::move(tensors));
        check_tensors(model, std::move(tensors));
    } catch (lv::mismatch_error const& fault) { throw lv::mismatch_error(path.string() + ": " + fault.what()); }
    return std::nullopt;
}

inspection look_at(std::filesystem::path const& path, lv::checkpoint::gguf_dialect dialect) {
    inspection i;
    lv::checkpoint::opened folder = lv::checkpoint::open(path, {}, lv::checkpoint::faults::collected, dialect);
    i.checkpoint = static_cast<lv::checkpoint::description const&>(folder);
    i.problems = i.checkpoint.problems;
    i.warnings = i.checkpoint.warnings;
    if (lv::is_folder(i.checkpoint.path))
        for (auto& sentence : leftovers(i.checkpoint.folder, i.checkpoint.weights.files))
            i.warnings.push_back(std::move(sentence));
    auto const step = [&](auto const& f) { lv::checkpoint::attempt(lv::checkpoint::faults::collected, i.problems, f); };
    if (i.checkpoint.form == lv::checkpoint::kind::adapter) {
        i.problems.clear(); // that it is no model
        step([&] {
            i.adapter = facts_of(lv::checkpoint::open_adapter(i.checkpoint.path));
            i.warnings.insert(i.warnings.end(), i.adapter->config.warnings.begin(), i.adapter->config.warnings.end());
        });
    }
    if (!lv::checkpoint::is_read(i.checkpoint.form)) return i;
    if (i.checkpoint.model) find_nearest(i);
    step([&] { read_tokenizer(i); });
    read_conversations(i);
    i.text_alone =
        (i.checkpoint.model && i.checkpoint.model->text_alone) || lv::checkpoint::is_text_alone(folder.tensors);
    if (i.checkpoint.model) { i.tables = examine_tile_tables(folder.tensors, i.checkpoint.model->values.vision); }
    i.parts = count_parts(folder.tensors, i.checkpoint.model ? i.checkpoint.model->values.text.cross_layers
                                                             : std::vector<std::size_t>());
    count_blocks(i, folder.tensors);
    i.quantised = lv::checkpoint::quantised_kinds(folder.tensors);
    if (folder.tensors.tensors.empty()) {
        i.parts.clear();
        if (i.configuration) // known before anything is downloaded
            i.parts = {{"whole model",
                        i.configuration->size.tensors,
                        static_cast<double>(i.configuration->size.parameters),
                        0,
                        {},
                        0,
                        0}};
    }
    if (auto const odd = std::count_if(folder.tensors.tensors.begin(), folder.tensors.tensors.end(),
                                       [](auto const& entry) { return lv::binder::is_misaligned(entry.second); });
        odd > 0)
        i.warnings.push_back(path.string() + ": " + std::to_string(odd)
                             + " tensors lie at odd bytes, so that they are copied into memory at load; `convert` "
                               "writes them where they can be used as they are");
    bool const weights_read = i.checkpoint.weights.missing.empty() && !folder.tensors.tensors.empty();
    i.whole_model = folder.tensors.tensors.empty(); // all that is known is the configuration
    if (i.checkpoint.model && weights_read)
        step([&] {
            i.plan = check_fit(*i.checkpoint.model, i.configuration, std::move(folder.tensors), path);
            i.whole_model = true;
        });
    return i;
}

} // namespace program
