// SPDX-License-Identifier: Apache-2.0
// Copies and makes the small files.
#include "convert_files.hpp"

#include <cstddef>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include <llamavision/checkpoint/form/gguf/own.hpp>
#include <llamavision/checkpoint/write/config.hpp>
#include <llamavision/checkpoint/write/params.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/replacement_file.hpp>
#include <llamavision/support/text_file.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>
#include <llamavision/tokens/tokenizer_lists.hpp>
#include <llamavision/tokens/write_tokenizer.hpp>

namespace lv = llamavision;
namespace fs = std::filesystem;

namespace program {

namespace {

using lv::checkpoint::description;
using lv::checkpoint::kind;

constexpr std::size_t small = std::size_t{256} << 20;

/// The chat template for Meta's format, as the program writes conversations.
constexpr char const* meta_template =
    "{{- bos_token }}{%- for message in messages %}{{- '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\\n\\n' }}{%- if message['content'] is string %}{{- message['content'] }}{%- else %}{%- for "
    "part in message['content'] %}{%- if part['type'] == 'image' %}{{- '<|image|>' }}{%- elif part['type'] == 'text' "
    "%}{{- part['text'] }}{%- endif %}{%- endfor %}{%- endif %}{{- '<|eot_id|>' }}{%- endfor %}{%- if "
    "add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}";

/// The licence is copied with the weights.
void add_licence(small_files& files, fs::path const& folder) {
    for (char const* const name : {"LICENSE", "LICENSE.txt", "USE_POLICY.md", "NOTICE"})
        if (lv::has_entry(folder / name)) files.emplace(name, lv::read_text_file(folder / name, small));
}

/// Copies those that the source has.
small_files files_of(description const& d) {
    if (d.form == kind::hugging_face) return lv::checkpoint::small_files_in(d.folder);
    if (d.form == kind::gguf)
        return lv::checkpoint::gguf_small_files(lv::checkpoint::open_gguf(d.weights.files.front()));
    return {};
}

/// The source's tokenizer and where it is; nothing if it has none.
std::optional<std::pair<lv::tokens::tokenizer_contents, std::string>> tokenizer_of(description const& d) {
    auto const& inside = d.tokenizer;
    if (!inside.text.empty()) return std::pair(lv::tokens::parse_tokenizer(inside.text, inside.file), inside.file);
    if (!inside.tokens.empty())
        return std::pair(lv::tokens::tokenizer_from_lists(inside.tokens, inside.types, inside.merges, inside.file),
                         inside.file);
    auto const& file = d.tokenizer_json.empty() ? d.tokenizer_model : d.tokenizer_json;
    if (file.empty()) return std::nullopt;
    return std::pair(lv::tokens::read_tokenizer(file), file.string());
}

std::string tokenizer_config(description const& d, bool base) {
    nlohmann::ordered_json const document{{"tokenizer_class", "PreTrainedTokenizerFast"},
                                          {"processor_class", "MllamaProcessor"},
                                          {"bos_token", "<|begin_of_text|>"},
                                          {"eos_token", base ? "<|end_of_text|>" : "<|eot_id|>"},
                                          {"pad_token", "<|finetune_right_pad_id|>"},
                                          {"clean_up_tokenization_spaces", false},
                                          {"model_max_length", d.model->values.text.context},
                                          {"model_input_names", {"input_ids", "attention_mask"}}};
    return document.dump(2) + "\n";
}

/// The names of the special tokens from the first id on; empty where there is a gap.
std::vector<std::string> special_names(lv::tokens::tokenizer_contents const& contents) {
    std::vector<std::string> names;
    for (auto const& [id, name] : contents.added.names().names()) {
        if (static_cast<std::size_t>(id) != contents.vocabulary.size() + names.size()) return {};
        names.push_back(name);
    }
    return names;
}

void add_words(small_files& files, description const& d, bool base, std::vector<std::string>& notes) {
    if (!files.contains("tokenizer.json")) {
        auto const tokenizer = tokenizer_of(d);
        if (!tokenizer) {
            notes.push_back("the source has no tokenizer, so the result has none");
            return;
        }
        auto names = special_names(tokenizer->first);
        if (tokenizer->first.kind == lv::tokens::tokenizer_kind::meta || names.empty())
            names = lv::tokens::hugging_face_special_names();
        files["tokenizer.json"] = lv::tokens::tokenizer_json_text(tokenizer->first.vocabulary, names);
        notes.push_back("tokenizer.json is made of " + tokenizer->second);
    }
    files.try_emplace("tokenizer_config.json", tokenizer_config(d, base));
}

void add_template(small_files& files, description const& d, bool base, std::vector<std::string>& notes) {
    if (base || files.contains("chat_template.json") || files.contains("chat_template.jinja")) return;
    nlohmann::ordered_json const document{{"chat_template", d.chat.text.empty() ? meta_template : d.chat.text}};
    files["chat_template.json"] = document.dump(2) + "\n";
    if (d.chat.text.empty())
        notes.push_back("chat_template.json is Meta's format of conversations; for a base model, which has none, use "
                        "--base");
}

} // namespace

small_files hugging_face_files(description const& d, small_files_options const& o, std::vector<std::string>& notes) {
    small_files files = files_of(d);
    if (!o.config.empty()) files["config.json"] = lv::read_text_file(o.config, small);
    if (auto const own = files.find("config.json"); own != files.end()) {
        if (o.type) own->second = lv::checkpoint::config_with_type(own->second, *o.type);
        if (d.model->quantisation) own->second = lv::checkpoint::config_without_quantisation(own->second);
    } else {
        files["config.json"] =
            lv::checkpoint::config_text(*d.model, d.generation, o.type.value_or(lv::checkpoint::dtype::bf16));
        notes.push_back("config.json is made of what the source says");
    }
    add_licence(files, d.folder);
    if (d.form == kind::hugging_face) return files;
    files.try_emplace("generation_config.json", lv::checkpoint::generation_text(d.generation));
    if (!files.contains("processor_config.json") && !d.model->text_alone)
        files.try_emplace("preprocessor_config.json", lv::checkpoint::preprocessor_text(d.pictures));
    add_words(files, d, o.base, notes);
    add_template(files, d, o.base, notes);
    return files;
}

small_files meta_files(description const& d, std::vector<std::string>& notes) {
    auto const from = files_of(d);
    small_files files;
    files["params.json"] = lv::checkpoint::params_text(d.model->values);
    for (std::string const& what : lv::checkpoint::unsaid_in_params(d.model->values))
        notes.push_back("params.json has no place for " + what
                        + ", which Meta's code knows of its own models; keep "
                          "config.json, which `convert --config` takes on the way back");
    if (auto const own = from.find("tokenizer.model"); own != from.end()) {
        files.insert(*own);
    } else if (!d.tokenizer_model.empty()) {
        files["tokenizer.model"] = lv::read_text_file(d.tokenizer_model, small);
    } else if (auto const tokenizer = tokenizer_of(d)) {
        files["tokenizer.model"] = lv::tokens::tokenizer_model_text(tokenizer->first.vocabulary);
        notes.push_back("tokenizer.model is made of " + tokenizer->second);
        if (special_names(tokenizer->first) != lv::tokens::hugging_face_special_names())
            notes.push_back("tokenizer.model cannot name special tokens, and the source's are others than Meta's");
    } else {
        notes.push_back("the source has no tokenizer, so the result has none");
    }
    if (from.contains("generation_config.json") || !d.chat.text.empty())
        notes.push_back("Meta's form holds no generation_config.json and no chat template");
    add_licence(files, d.folder);
    return files;
}

void write(small_files const& files, fs::path const& folder) {
    for (auto const& [name, text] : files) lv::write_text_file(folder / name, text);
}

} // namespace program
