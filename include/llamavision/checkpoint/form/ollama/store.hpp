// SPDX-License-Identifier: Apache-2.0
// Reads a model in ollama's store: a manifest, which names the model's parts by their SHA-256, and the parts the file's
// name in the folder "blobs".
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/form/hugging_face/generation_config.hpp>
#include <llamavision/checkpoint/understood.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/sha256.hpp>
#include <llamavision/support/text_file.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// The files of a model's parts. A path is empty if the manifest names no such part.
struct ollama_model {
    std::filesystem::path model, projector, parameters, system, chat;
    std::vector<std::string> others{}; ///< types of layers that may change answers and are not read
};

/// A part of a model, as a manifest describes it.
struct ollama_part {
    std::string file; ///< the file's name in the folder "blobs"
    std::size_t bytes = 0;
};

/// The parts that a manifest names.
struct ollama_parts {
    std::optional<ollama_part> model, projector, parameters, system, chat;
    std::vector<std::string> others{}; ///< types of layers that may change answers and are not read
};

/// Reads the content of a manifest, which is called `file` in errors.
/// @throws format_error, and mismatch_error for a model with an adapter
[[nodiscard]] inline ollama_parts read_ollama_manifest(nlohmann::json const& document, std::string const& file) {
    constexpr std::string_view method = "sha256:", types = "application/vnd.ollama.image.";
    ollama_parts result;
    for (json_view const& layer : json_view(document, file).at("layers").items()) {
        auto const& type = layer.at("mediaType").text();
        if (type == std::string(types) + "adapter")
            throw mismatch_error(file + ": the model has an adapter, which is not supported");
        bool read = type == std::string(types) + "license";
        for (auto const& [name, part] : {std::pair("model", &result.model), std::pair("projector", &result.projector),
                                         std::pair("params", &result.parameters), std::pair("system", &result.system),
                                         std::pair("template", &result.chat)}) {
            if (type != std::string(types) + name) continue;
            read = true;
            if (*part) layer.fail("one layer of the type " + type);
            auto digest = layer.at("digest").text();
            if (!digest.starts_with(method) || digest.size() != method.size() + 64
                || digest.find_first_not_of("0123456789abcdef", method.size()) != std::string::npos)
                layer.at("digest").fail("\"sha256:\" and 64 hexadecimal digits");
            digest[method.size() - 1] = '-';
            *part = {std::move(digest), layer.at("size").natural()};
        }
        if (!read) result.others.push_back(type);
    }
    if (!result.model) throw format_error(file + ": names no model among its layers");
    return result;
}

namespace detail {

/// The folder "blobs" beside the folder "manifests" that contains the manifest.
[[nodiscard]] inline std::filesystem::path ollama_blobs(std::filesystem::path const& manifest) {
    auto folder = std::filesystem::absolute(manifest).parent_path();
    while (folder.filename() != "manifests" && folder.has_relative_path()) folder = folder.parent_path();
    auto blobs = folder.parent_path() / "blobs";
    if (!is_folder(blobs))
        throw file_error(manifest.string() + ": is a manifest of ollama's, but there is no folder " + blobs.string());
    return blobs;
}

/// The file of a part; empty for a part that the manifest does not name.
/// @throws file_error unless it has the size that the manifest says
[[nodiscard]] inline std::filesystem::path ollama_blob(std::optional<ollama_part> const& part,
                                                       std::filesystem::path const& blobs) {
    if (!part) return {};
    auto path = blobs / part->file;
    std::error_code fault;
    auto const size = std::filesystem::file_size(path, fault);
    if (fault) throw file_error(path.string() + ": is missing, a part of the ollama model; pull it again");
    if (part->bytes != size)
        throw file_error(path.string() + ": has " + std::to_string(size) + " bytes, but the manifest says "
                         + std::to_string(part->bytes) + "; pull the model again");
    return path;
}

} // namespace detail

/// Reads a manifest, for example ~/.ollama/models/manifests/registry.ollama.ai/library/llama3.2-vision/11b, or the only
/// one in a folder. Sizes of parts are compared with the manifest; hashes are not computed.
/// @throws file_error and format_error
[[nodiscard]] inline ollama_model read_ollama_model(std::filesystem::path const& path) {
    auto manifest = path;
    if (is_folder(path)) {
        std::vector<std::string> tags;
        std::error_code fault;
        for (std::filesystem::directory_iterator entry(path, fault), end; !fault && entry != end;
             entry.increment(fault))
            if (entry->is_regular_file(fault)) tags.push_back(entry->path().filename().string());
        std::sort(tags.begin(), tags.end());
        if (tags.size() != 1)
            throw file_error(
                path.string() + ": holds "
                + (tags.empty() ? "no manifest of ollama's" : "several of ollama's manifests: " + listed(tags))
                + "; name the file of one tag");
        manifest = path / tags.front();
    }
    auto const parts = read_ollama_manifest(read_json(manifest, {.bytes = std::size_t{1} << 20}), manifest.string());
    auto const blobs = detail::ollama_blobs(manifest);
    return {detail::ollama_blob(parts.model, blobs),      detail::ollama_blob(parts.projector, blobs),
            detail::ollama_blob(parts.parameters, blobs), detail::ollama_blob(parts.system, blobs),
            detail::ollama_blob(parts.chat, blobs),       parts.others};
}

/// The keys of a params layer (ollama: api/types.go, Options and Runner).
inline constexpr std::array ollama_keys{
    known_key{"temperature"},
    known_key{"top_p"},
    known_key{"top_k"},
    known_key{"repeat_penalty"},
    known_key{"stop"},
    known_key{"num_predict"},
    known_key{"seed"},
    // These change how a model is loaded or how fast it runs.
    known_key{"num_batch"},
    known_key{"num_gpu"},
    known_key{"main_gpu"},
    known_key{"num_thread"},
    known_key{"use_mmap"},
    known_key{"use_mlock"},
    known_key{"low_vram"},
    known_key{"numa"},
    known_key{"f16_kv"},
    // These change answers. With each the value that changes nothing.
    known_key{"num_ctx", true},
    known_key{"num_keep", true},
    known_key{"repeat_last_n", true},
    known_key{"min_p", true, "0.0"},
    known_key{"typical_p", true, "1.0"},
    known_key{"tfs_z", true, "1.0"},
    known_key{"presence_penalty", true, "0.0"},
    known_key{"frequency_penalty", true, "0.0"},
    known_key{"mirostat", true, "0"},
    known_key{"mirostat_tau", true},
    known_key{"mirostat_eta", true},
    known_key{"penalize_newline", true},
};

/// Reads the parameters of sampling into `g`. ollama samples unless the temperature is 0. What is not obeyed, or not as
/// ollama does, is added to `warnings`. `document` is called `file` in errors.
/// @throws format_error
inline void read_ollama_parameters(nlohmann::json const& document, std::string const& file, generation_defaults& g,
                                   std::vector<std::string>& warnings) {
    json_view const root(document, file);
    auto const found = read_generation(document, file);
    auto const penalty = root.find("repeat_penalty");
    g.do_sample = root.find("temperature") && found.temperature > 0;
    g.temperature = found.temperature;
    g.top_p = found.top_p;
    g.top_k = found.top_k;
    g.repetition_penalty = penalty ? penalty->positive_number() : 1.0;
    if (auto const stop = root.find("stop")) g.stop_strings = detail::read_stop_strings(*stop);
    auto const limit = root.find("num_predict"); // -1 and -2: no limit but the context's
    if (limit && limit->json() != -1 && limit->json() != -2) g.max_tokens = limit->natural();
    std::vector<std::string> notes = unheeded(document, ollama_keys);
    if (auto const seed = root.find("seed"); seed && seed->json() != -1) {
        g.seed = seed->natural();
        notes.push_back("seed " + std::to_string(*g.seed) + " (it draws other tokens than in ollama)");
    }
    if (auto const k = root.find("top_k"); k && !g.top_k) notes.emplace_back("top_k (all tokens are kept)");
    if (g.repetition_penalty != 1 && !root.find("repeat_last_n"))
        notes.emplace_back("repeat_penalty (it counts all tokens, in ollama the last 64)");
    if (auto what = unheeded_warning(file, notes); !what.empty()) warnings.push_back(std::move(what));
}

namespace detail {

/// Whether a template in Go's language writes what transformers' conversion script writes: a header, the content and
/// <|eot_id|> for each message, then the assistant's header. Two published ones are known, whatever their white space
/// at the ends: that of llama3.2-vision (ollama's library), and llama3-instruct (ollama:
/// template/llama3-instruct.gotmpl).
[[nodiscard]] inline bool is_published_template(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n";
    auto const first = text.find_first_not_of(blanks);
    text = first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(blanks) + 1 - first);
    sha256 digest;
    digest.update(std::as_bytes(std::span(text)));
    auto const hash = digest.hex();
    return hash == "715415638c9c4c0cb2b78783da041b97bd1205f8b9f9494bd7e5a850cb443602"
           || hash == "13ffd434e4166549bc246ffc4e0675d104f2c10a2ab3808d25aa10d08fb4ae3e";
}

} // namespace detail

/// Reads the layers beside the weights: PARAMETER, SYSTEM and TEMPLATE lines of a Modelfile.
/// @throws file_error, format_error
inline void read_ollama_layers(ollama_model const& files, description& d) {
    constexpr std::size_t limit = std::size_t{1} << 20;
    if (auto const& file = files.parameters; !file.empty())
        read_ollama_parameters(read_json(file, {.bytes = limit}), file.string(), d.generation, d.warnings);
    if (!files.system.empty()) d.system = read_text_file(files.system, limit);
    if (!files.chat.empty()) {
        d.chat.as_converter = detail::is_published_template(read_text_file(files.chat, limit));
        if (!d.chat.as_converter)
            d.warnings.push_back(
                files.chat.string()
                + ": this TEMPLATE layer, in Go's template language, is not interpreted: conversations "
                  "are written "
                + (d.chat.text.empty() ? "in Meta's format" : "by the chat template in " + d.chat.file.string())
                + ", and the model may have been trained with another prompt (load_options::chat, "
                  "--format)");
    }
    for (auto const& type : files.others)
        d.warnings.push_back(d.path.string() + ": the manifest has a layer of type " + in_quotes(type)
                             + ", which is not read");
}

} // namespace llamavision::checkpoint
