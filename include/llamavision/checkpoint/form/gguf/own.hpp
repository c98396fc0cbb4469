// SPDX-License-Identifier: Apache-2.0
// GGUF as this library writes it: with the small files of the Hugging Face folder inside, so that converting back loses
// nothing and no dialect has to be guessed. Rows and gates are as in Hugging Face's form; only a text model's rows are
// as in llama.cpp's files.
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

/// File name to content.
using small_files = std::map<std::string, std::string>;

/// The key of a small file is this and the file's name.
inline constexpr std::string_view gguf_file_key = "llamavision.file.";

/// The small files inside a GGUF of this library.
[[nodiscard]] inline small_files gguf_small_files(gguf_content const& content) {
    small_files files;
    for (auto const& [key, value] : content.keys)
        if (key.starts_with(gguf_file_key)) files.emplace(key.substr(gguf_file_key.size()), value.text());
    return files;
}

/// The small files of a Hugging Face folder, those that it has.
/// @throws file_error
[[nodiscard]] inline small_files small_files_in(std::filesystem::path const& folder) {
    small_files files;
    for (char const* const name :
         {"config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
          "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "chat_template.json",
          "chat_template.jinja"})
        if (has_entry(folder / name)) files.emplace(name, read_text_file(folder / name, std::size_t{64} << 20));
    return files;
}

/// A file with `tensors`, which have Hugging Face's names and types that GGUF has. `said` is the description of their
/// checkpoint. `files` should contain config.json and a tokenizer. The owners of `tensors` must outlive the result.
/// @throws like hugging_face_to_gguf
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
