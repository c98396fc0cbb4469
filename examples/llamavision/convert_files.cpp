// SPDX-License-Identifier: Apache-2.0
// Copies and makes the small files.
#include "convert_files.hpp"

#include <cstddef>
#include <string_view>

#include <nlohmann/json.hpp>

#include <llamavision/checkpoint/replacement_file.hpp>
#include <llamavision/checkpoint/write_config.hpp>
#include <llamavision/checkpoint/write_params.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/text_file.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>
#include <llamavision/tokens/write_tokenizer.hpp>

namespace lv = llamavision;
namespace fs = std::filesystem;

namespace program {

namespace {

using lv::checkpoint::description;
using lv::checkpoint::detail::write_text_file;

constexpr std::size_t small = std::size_t{256} << 20;

/// Meta's format of conversations, as the program itself writes them for this template.
constexpr char const* meta_template =
    "{{- bos_token }}{%- for message in messages %}{{- '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\\n\\n' }}{%- if message['content'] is string %}{{- message['content'] }}{%- else %}{%- for "
    "part in message['content'] %}{%- if part['type'] == 'image' %}{{- '<|image|>' }}{%- elif part['type'] == 'text' "
    "%}{{- part['text'] }}{%- endif %}{%- endfor %}{%- endif %}{{- '<|eot_id|>' }}{%- endfor %}{%- if "
    "add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}";

bool copy(fs::path const& from, fs::path const& to, char const* name) {
    if (!lv::is_there(from / name)) return false;
    write_text_file(to / name, lv::read_text_file(from / name, small));
    return true;
}

/// The licence goes wherever the weights go.
void copy_licence(fs::path const& from, fs::path const& to) {
    for (char const* const name : {"LICENSE", "LICENSE.txt", "USE_POLICY.md", "NOTICE"}) copy(from, to, name);
}

fs::path tokenizer_of(description const& d) { return d.tokenizer_json.empty() ? d.tokenizer_model : d.tokenizer_json; }

void write_config(fs::path const& folder, description const& d, small_files_options const& o,
                  std::vector<std::string>& notes) {
    using lv::checkpoint::dtype;
    auto const own = o.config.empty() && d.form == lv::checkpoint::kind::hugging_face ? d.folder / "config.json"
                                                                                      : fs::path(o.config);
    if (!own.empty()) {
        auto const text = lv::read_text_file(own, small);
        write_text_file(folder / "config.json", o.type ? lv::checkpoint::config_with_type(text, *o.type) : text);
        return;
    }
    write_text_file(folder / "config.json",
                    lv::checkpoint::config_text(*d.model, d.generation, o.type.value_or(dtype::bf16)));
    notes.push_back("config.json is made of what the source says");
}

void write_tokenizer_config(fs::path const& folder, description const& d, bool base) {
    nlohmann::ordered_json const document{{"tokenizer_class", "PreTrainedTokenizerFast"},
                                          {"processor_class", "MllamaProcessor"},
                                          {"bos_token", "<|begin_of_text|>"},
                                          {"eos_token", base ? "<|end_of_text|>" : "<|eot_id|>"},
                                          {"pad_token", "<|finetune_right_pad_id|>"},
                                          {"clean_up_tokenization_spaces", false},
                                          {"model_max_length", d.model->values.text.context},
                                          {"model_input_names", {"input_ids", "attention_mask"}}};
    write_text_file(folder / "tokenizer_config.json", document.dump(2) + "\n");
}

void write_words(fs::path const& folder, description const& d, bool base, std::vector<std::string>& notes) {
    auto const file = tokenizer_of(d);
    if (file.empty()) {
        notes.push_back("the source has no tokenizer, so the result has none");
        return;
    }
    if (!d.tokenizer_json.empty()) {
        write_text_file(folder / "tokenizer.json", lv::read_text_file(d.tokenizer_json, small));
    } else {
        auto const words = lv::tokens::read_tokenizer(file);
        write_text_file(folder / "tokenizer.json",
                        lv::tokens::tokenizer_json_text(words.words, lv::tokens::hugging_face_special_names()));
        notes.push_back("tokenizer.json is made of " + file.filename().string());
    }
    if (!copy(d.folder, folder, "tokenizer_config.json")) write_tokenizer_config(folder, d, base);
    copy(d.folder, folder, "special_tokens_map.json");
}

void write_template(fs::path const& folder, description const& d, bool base, std::vector<std::string>& notes) {
    bool copied = false;
    for (char const* const name : {"chat_template.json", "chat_template.jinja"})
        copied = copy(d.folder, folder, name) || copied;
    if (copied || base || d.form == lv::checkpoint::kind::hugging_face) return;
    nlohmann::ordered_json const document{{"chat_template", d.chat.text.empty() ? meta_template : d.chat.text}};
    write_text_file(folder / "chat_template.json", document.dump(2) + "\n");
    if (d.chat.text.empty())
        notes.push_back("chat_template.json is Meta's format of conversations; for a base model, which has none, use "
                        "--base");
}

} // namespace

std::vector<std::string> write_hugging_face_files(fs::path const& folder, description const& d,
                                                  small_files_options const& o) {
    std::vector<std::string> notes;
    write_config(folder, d, o, notes);
    bool const hugging_face = d.form == lv::checkpoint::kind::hugging_face;
    if (!copy(d.folder, folder, "generation_config.json") && !hugging_face)
        write_text_file(folder / "generation_config.json", lv::checkpoint::generation_text(d.generation));
    bool pictures = false;
    for (char const* const name : {"preprocessor_config.json", "processor_config.json"})
        pictures = copy(d.folder, folder, name) || pictures;
    if (!pictures && !hugging_face)
        write_text_file(folder / "preprocessor_config.json", lv::checkpoint::preprocessor_text(d.pictures));
    write_words(folder, d, o.base, notes);
    write_template(folder, d, o.base, notes);
    copy_licence(d.folder, folder);
    return notes;
}

std::vector<std::string> write_meta_files(fs::path const& folder, description const& d) {
    std::vector<std::string> notes;
    write_text_file(folder / "params.json", lv::checkpoint::params_text(d.model->values));
    for (std::string const& what : lv::checkpoint::unsaid_in_params(d.model->values))
        notes.push_back("params.json has no words for " + what
                        + ", which stand in Meta's code; keep config.json, "
                          "which `convert --config` takes on the way back");
    if (!d.tokenizer_model.empty()) {
        write_text_file(folder / "tokenizer.model", lv::read_text_file(d.tokenizer_model, small));
    } else if (auto const file = tokenizer_of(d); !file.empty()) {
        auto const words = lv::tokens::read_tokenizer(file);
        write_text_file(folder / "tokenizer.model", lv::tokens::tokenizer_model_text(words.words));
        notes.push_back("tokenizer.model is made of " + file.filename().string());
        auto const names = lv::tokens::hugging_face_special_names();
        for (std::size_t i = 0; i < names.size(); ++i)
            if (words.specials.name(static_cast<lv::token>(words.words.size() + i)) != std::string_view(names[i])) {
                notes.push_back("tokenizer.model cannot name special tokens; the source's are others than Meta's");
                break;
            }
    } else {
        notes.push_back("the source has no tokenizer, so the result has none");
    }
    if (lv::is_there(d.folder / "generation_config.json") || !d.chat.text.empty())
        notes.push_back("Meta's form holds no generation_config.json and no chat template");
    copy_licence(d.folder, folder);
    return notes;
}

} // namespace program
