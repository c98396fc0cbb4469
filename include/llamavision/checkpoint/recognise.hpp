// SPDX-License-Identifier: Apache-2.0
// Recognises the form of a checkpoint by the names of its files.
#pragma once

#include <llamavision/checkpoint/form/ollama/path.hpp>
#include <llamavision/checkpoint/kind.hpp>
#include <llamavision/support/error.hpp>

#include <filesystem>
#include <set>
#include <system_error>

namespace llamavision::checkpoint {

/// The form of the checkpoint at `path`. A file is recognised by its extension, a part of an ollama model by its
/// folder.
/// @throws file_error if `path` does not exist or cannot be listed
[[nodiscard]] inline kind recognise(std::filesystem::path const& path) {
    auto const of_file = [](std::filesystem::path const& name) {
        auto const ending = name.extension();
        if (name.filename() == "adapter_model.safetensors") return kind::adapter;
        if (ending == ".safetensors") return kind::hugging_face;
        if (ending == ".gguf") return kind::gguf;
        if (ending == ".pth" || ending == ".pt") return kind::meta;
        if (ending == ".bin") return kind::pytorch;
        if (is_ollama_blob(name) || is_ollama_manifest(name)) return kind::gguf;
        return kind::unknown;
    };
    std::error_code fault;
    auto const status = std::filesystem::status(path, fault);
    if (status.type() == std::filesystem::file_type::not_found)
        throw file_error(path.string() + ": no such file or folder");
    if (!std::filesystem::is_directory(status)) return of_file(path);

    std::set<kind> forms;
    bool has_config = false;
    std::filesystem::directory_iterator entry(path, fault);
    for (; !fault && entry != std::filesystem::directory_iterator(); entry.increment(fault)) {
        std::error_code unknown;
        if (entry->is_directory(unknown)) continue; // even if its name looks like that of a file
        auto const name = entry->path().filename();
        if (name == "config.json") has_config = true;
        if (name == "adapter_config.json") forms.insert(kind::adapter);
        if (name == "params.json") forms.insert(kind::meta);
        if (name == "model.safetensors.index.json") forms.insert(kind::hugging_face);
        forms.insert(of_file(entry->path()));
    }
    if (fault) throw file_error(path.string() + ": cannot be listed: " + fault.message());
    for (kind const form : {kind::hugging_face, kind::adapter, kind::meta, kind::gguf, kind::pytorch})
        if (forms.contains(form)) return form;
    bool const original = std::filesystem::exists(path / "original" / "params.json", fault);
    auto const holds_weights = [&](std::filesystem::path const& folder) {
        std::filesystem::directory_iterator file(folder, fault);
        for (; !fault && file != std::filesystem::directory_iterator(); file.increment(fault))
            if (file->path().filename().string().starts_with("consolidated.")) return true;
        return false;
    };
    if (has_config && !(original && holds_weights(path / "original"))) return kind::hugging_face;
    return original ? kind::meta : kind::unknown;
}

} // namespace llamavision::checkpoint
