// SPDX-License-Identifier: Apache-2.0
// Reads a model in ollama's store: a manifest, which names the model's parts by their SHA-256, and the parts the file's
// name in the folder "blobs".
#pragma once

#include <llamavision/checkpoint/form/hugging_face/generation_config.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/text_file.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// The files of a model's parts. A path is empty if the manifest names no such part.
struct ollama_model {
    std::filesystem::path model, projector, parameters;
};

/// A part of a model, as a manifest describes it.
struct ollama_part {
    std::string file; ///< the file's name in the folder "blobs"
    std::size_t bytes = 0;
};

/// The parts that a manifest names.
struct ollama_parts {
    std::optional<ollama_part> model, projector, parameters;
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
        for (auto const& [name, part] : {std::pair("model", &result.model), std::pair("projector", &result.projector),
                                         std::pair("params", &result.parameters)}) {
            if (type != std::string(types) + name) continue;
            if (*part) layer.fail("one layer of the type " + type);
            auto digest = layer.at("digest").text();
            if (!digest.starts_with(method) || digest.size() != method.size() + 64
                || digest.find_first_not_of("0123456789abcdef", method.size()) != std::string::npos)
                layer.at("digest").fail("\"sha256:\" and 64 hexadecimal digits");
            digest[method.size() - 1] = '-';
            *part = {std::move(digest), layer.at("size").natural()};
        }
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
    return {detail::ollama_blob(parts.model, blobs), detail::ollama_blob(parts.projector, blobs),
            detail::ollama_blob(parts.parameters, blobs)};
}

/// Reads the parameters of sampling into `g`. ollama samples unless the temperature is 0. `document` is called `file`
/// in errors.
/// @throws format_error
inline void read_ollama_parameters(nlohmann::json const& document, std::string const& file, generation_defaults& g) {
    json_view const root(document, file);
    auto const found = read_generation(document, file);
    auto const penalty = root.find("repeat_penalty");
    g.do_sample = root.find("temperature") && found.temperature > 0;
    g.temperature = found.temperature;
    g.top_p = found.top_p;
    g.top_k = found.top_k;
    g.repetition_penalty = penalty ? penalty->positive_number() : 1.0;
}

} // namespace llamavision::checkpoint
