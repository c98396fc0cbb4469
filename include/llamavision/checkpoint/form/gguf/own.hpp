// SPDX-License-Identifier: Apache-2.0
// GGUF as this library writes it: with the small files of the folder beside the weights, so that nothing is lost and
// nothing has to be guessed. Rows and gates are as Hugging Face has them, but those of a text model as llama.cpp has
// them.
#pragma once

#include <llamavision/checkpoint/container/gguf.hpp>
#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/form/gguf/dialect.hpp>
#include <llamavision/checkpoint/form/gguf/mapping.hpp>
#include <llamavision/checkpoint/write/gguf.hpp>
#include <llamavision/support/text_file.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace llamavision::checkpoint {

/// Name to content.
using small_files = std::map<std::string, std::string>;

/// Keys under which the small files lie begin with this and end with the file's name.
inline constexpr std::string_view gguf_file_key = "llamavision.file.";

/// The small files that a GGUF of this library holds.
[[nodiscard]] inline small_files gguf_small_files(gguf_content const& content) {
    small_files files;
    for (auto const& [key, value] : content.keys)
        if (key.starts_with(gguf_file_key)) files.emplace(key.substr(gguf_file_key.size()), value.text());
    return files;
}

/// Those of a Hugging Face folder, as far as it has them. Throws file_error.
[[nodiscard]] inline small_files small_files_in(std::filesystem::path const& folder) {
    small_files files;
    for (char const* const name :
         {"config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
          "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "chat_template.json",
          "chat_template.jinja"})
        if (has_entry(folder / name)) files.emplace(name, read_text_file(folder / name, std::size_t{64} << 20));
    return files;
}

/// A file of the model whose tensors, under Hugging Face's names and of any type that GGUF has, are `tensors`; `said`
/// is what their checkpoint said. `files` should hold config.json and a tokenizer. The owners of `tensors` must outlive
/// the result. Throws as hugging_face_to_gguf.
[[nodiscard]] inline gguf_to_write own_gguf(named_tensors const& tensors, description const& said,
                                            small_files const& files) {
    bool const sees = said.model.value().values.kind == config::family::mllama;
    auto result =
        hugging_face_to_gguf(tensors, *said.model, sees ? gguf_dialect::llamavision : gguf_dialect::llama_cpp);
    if (!said.chat.text.empty()) result.keys.emplace_back("tokenizer.chat_template", said.chat.text);
    for (auto const& [name, content] : files) result.keys.emplace_back(std::string(gguf_file_key) + name, content);
    return result;
}

} // namespace llamavision::checkpoint
