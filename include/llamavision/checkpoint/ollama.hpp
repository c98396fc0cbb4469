// SPDX-License-Identifier: Apache-2.0
// A model in ollama's store: a manifest that names its parts by their SHA-256, and the parts in the folder "blobs".
#pragma once

#include <llamavision/checkpoint/generation.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace llamavision::checkpoint {

/// Where the parts of a model lie; a path is empty if the manifest names no such part.
struct ollama_model {
    std::filesystem::path model, projector, parameters;
};

namespace detail {

/// The folder "blobs" beside the folder "manifests" that the manifest lies in.
[[nodiscard]] inline std::filesystem::path ollama_blobs(std::filesystem::path const& manifest) {
    auto folder = std::filesystem::absolute(manifest).parent_path();
    while (folder.filename() != "manifests" && folder.has_relative_path()) folder = folder.parent_path();
    auto blobs = folder.parent_path() / "blobs";
    if (!is_folder(blobs))
        throw file_error(manifest.string() + ": is a manifest of ollama's, but there is no folder " + blobs.string());
    return blobs;
}

/// The file that a layer names, of the size that it says.
[[nodiscard]] inline std::filesystem::path ollama_blob(json_view const& layer, std::filesystem::path const& blobs) {
    auto digest = layer.at("digest").text();
    constexpr std::string_view method = "sha256:";
    if (!digest.starts_with(method) || digest.size() != method.size() + 64
        || digest.find_first_not_of("0123456789abcdef", method.size()) != std::string::npos)
        layer.at("digest").fail("\"sha256:\" and 64 hexadecimal digits");
    digest[method.size() - 1] = '-';
    auto path = blobs / digest;
    std::error_code fault;
    auto const size = std::filesystem::file_size(path, fault);
    if (fault) throw file_error(path.string() + ": is missing, a part of the ollama model; pull it again");
    if (auto const expected = layer.at("size").natural(); expected != size)
        throw file_error(path.string() + ": has " + std::to_string(size) + " bytes, but the manifest says "
                         + std::to_string(expected) + "; pull the model again");
    return path;
}

} // namespace detail

/// Reads a manifest, e.g. ~/.ollama/models/manifests/registry.ollama.ai/library/llama3.2-vision/11b, or a folder that
/// holds nothing but one. The hashes are not computed, but the sizes are compared. Throws file_error and format_error.
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
    auto const document = read_json(manifest, {.bytes = std::size_t{1} << 20});
    auto const blobs = detail::ollama_blobs(manifest);
    ollama_model result;
    for (json_view const& layer : json_view(document, manifest.string()).at("layers").items()) {
        auto const& type = layer.at("mediaType").text();
        auto const place = [&](std::filesystem::path& to) {
            if (!to.empty()) layer.fail("one layer of the type " + type);
            to = detail::ollama_blob(layer, blobs);
        };
        if (type == "application/vnd.ollama.image.model") place(result.model);
        if (type == "application/vnd.ollama.image.projector") place(result.projector);
        if (type == "application/vnd.ollama.image.params") place(result.parameters);
        if (type == "application/vnd.ollama.image.adapter")
            throw mismatch_error(manifest.string() + ": the model has an adapter, which is not supported");
    }
    if (result.model.empty()) throw format_error(manifest.string() + ": names no model among its layers");
    return result;
}

/// How the model wants its answers drawn: ollama samples wherever the temperature is not 0. Throws as read_json, and
/// format_error.
inline void read_ollama_parameters(std::filesystem::path const& path, generation_defaults& g) {
    auto const document = read_json(path, {.bytes = std::size_t{1} << 20});
    json_view const root(document, path.string());
    auto const found = read_generation(document, path.string());
    auto const penalty = root.find("repeat_penalty");
    g.do_sample = root.find("temperature") && found.temperature > 0;
    g.temperature = found.temperature;
    g.top_p = found.top_p;
    g.top_k = found.top_k;
    g.repetition_penalty = penalty ? penalty->positive_number() : 1.0;
}

} // namespace llamavision::checkpoint
