// SPDX-License-Identifier: Apache-2.0
// GGUF as a form of checkpoint: finds the one or two files, decides the dialect, and fills a description from the keys.
#pragma once

#include <llamavision/checkpoint/container/gguf.hpp>
#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/faults.hpp>
#include <llamavision/checkpoint/form/gguf/config.hpp>
#include <llamavision/checkpoint/form/gguf/dialect.hpp>
#include <llamavision/checkpoint/form/gguf/mapping.hpp>
#include <llamavision/checkpoint/form/gguf/own.hpp>
#include <llamavision/checkpoint/form/hugging_face/checkpoint.hpp>
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/form/hugging_face/generation_config.hpp>
#include <llamavision/checkpoint/form/hugging_face/preprocessor_config.hpp>
#include <llamavision/checkpoint/form/ollama/path.hpp>
#include <llamavision/checkpoint/form/ollama/store.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// The one or two files of a checkpoint, mapped and read.
struct gguf_files {
    ollama_model paths;
    gguf_content model;
    std::optional<gguf_content> projector;
    gguf_dialect dialect = gguf_dialect::as_marked; ///< in a description never as_marked

    [[nodiscard]] gguf_content const* other() const { return projector ? &*projector : nullptr; }
};

namespace detail {

[[nodiscard]] inline bool has_text(gguf_content const& c) { return c.content.tensors.contains("token_embd.weight"); }
[[nodiscard]] inline bool has_tower(gguf_content const& c) { return c.content.tensors.contains("v.patch_embd.weight"); }

/// The sorted *.gguf files of a folder.
[[nodiscard]] inline std::vector<std::filesystem::path> gguf_in(std::filesystem::path const& folder) {
    std::vector<std::filesystem::path> found;
    std::error_code fault;
    for (std::filesystem::directory_iterator entry(folder, fault), end; !fault && entry != end; entry.increment(fault))
        if (entry->path().extension() == ".gguf" && !is_folder(entry->path())) found.push_back(entry->path());
    std::sort(found.begin(), found.end());
    return found;
}

[[nodiscard]] inline ollama_model find_gguf(std::filesystem::path const& path) {
    if (!is_folder(path)) {
        return path.extension() == ".gguf" || is_ollama_blob(path) ? ollama_model{path, {}, {}, {}, {}}
                                                                   : read_ollama_model(path);
    }
    auto const found = gguf_in(path);
    if (found.empty()) return read_ollama_model(path);
    if (found.size() > 2)
        throw file_error(path.string() + ": holds " + std::to_string(found.size()) + " GGUF files; name one of them");
    if (found.size() == 1) return {found.front(), {}, {}, {}, {}};
    return {found[0], found[1], {}, {}, {}};
}

/// Checks that the files are one whole model. If the first is the projector, exchanges the two.
/// @throws mismatch_error
inline void check_gguf_halves(gguf_files& s) {
    std::string const name = s.paths.model.string();
    if (auto const* const parts = s.model.find("split.count"); parts && parts->natural() > 1)
        throw mismatch_error(name + ": is one of " + std::to_string(parts->natural())
                             + " files; join them first with llama-gguf-split --merge");
    if (s.projector && !has_text(s.model)) {
        std::swap(s.model, *s.projector);
        std::swap(s.paths.model, s.paths.projector);
    }
    std::string const model = s.paths.model.string(), projector = s.paths.projector.string();
    if (has_text(s.model) && gguf_family(s.model, model) == config::family::llama) {
        if (s.projector)
            throw mismatch_error(model + ": is a text model, which does not fit a projector, " + projector
                                 + "; name the file alone");
        return;
    }
    if (!s.projector) {
        if (!has_text(s.model) && has_tower(s.model))
            throw mismatch_error(name
                                 + ": is a projector alone, the part that sees; put it and its model into one "
                                   "folder, and name the folder");
        bool const alone = s.model.find("llamavision.layout")
                           != nullptr; // this library's own file: it has no tower because the model has none
        if (!alone && has_text(s.model) && !has_tower(s.model) && s.model.find("mllama.block_count"))
            throw mismatch_error(name
                                 + ": holds only the text's half of a model; put it and its projector into one "
                                   "folder, and name the folder");
    } else if (!has_text(s.model) || !has_tower(*s.projector)) {
        throw mismatch_error(model + " and " + projector + ": are not a model and its projector");
    } else if (has_tower(s.model)) {
        throw mismatch_error(model + ": is a whole model, and needs no projector " + projector
                             + "; name the file alone");
    }
}

/// The dialect of the files. `wanted` is the one that the caller asked for.
/// @throws mismatch_error if the files are of another dialect than `wanted`, or if they do not tell theirs and `wanted`
///         is as_marked
[[nodiscard]] inline gguf_dialect settled_dialect(gguf_files const& s, gguf_dialect wanted,
                                                  std::vector<std::string>& warnings) {
    using enum gguf_dialect;
    std::string const name = s.paths.model.string();
    bool const two = s.projector.has_value();
    auto const* const layout = s.model.find("llamavision.layout");
    if (layout && layout->text() != "hugging face") layout->fail("the layout \"hugging face\"");
    auto const allow = [&](std::string_view what, std::initializer_list<gguf_dialect> possible) {
        if (wanted != as_marked && std::find(possible.begin(), possible.end(), wanted) == possible.end())
            throw mismatch_error(name + ": is " + std::string(what) + ", which cannot be of the dialect "
                                 + std::string(name_of(wanted)));
    };
    if (layout) {
        allow("a file of llamavision's own", {llamavision});
        return llamavision;
    }
    if (gguf_family(s.model, name) == config::family::llama) {
        allow("a text model", {llama_cpp});
        return llama_cpp;
    }
    if (two) {
        allow("one of two files, model and projector", {pair, pair_permuted});
        if (wanted == as_marked)
            throw mismatch_error(name
                                 + ": model and projector do not show whether the rows of the cross-attention's q "
                                   "and k are in rotary pairs; name the dialect, pair (they are not) or "
                                   "pair-permuted (they are), and keep the one that describes a picture rightly");
        return wanted;
    }
    allow("one file with text and tower", {ollama, ollama_0_7_0});
    if (wanted != as_marked) return wanted;
    warnings.push_back(name
                       + ": is read as ollama 0.7.1 and later wrote it; 0.7.0 left the gates of the tower's global "
                         "layers before tanh, which no file shows: if pictures are described badly, read it in the "
                         "dialect ollama-0.7.0");
    return ollama;
}

[[nodiscard]] inline gguf_files open_gguf_files(std::filesystem::path const& path, gguf_dialect wanted,
                                                std::vector<std::string>& warnings) {
    gguf_files s;
    s.paths = find_gguf(path);
    s.model = open_gguf(s.paths.model);
    if (!s.paths.projector.empty()) s.projector = open_gguf(s.paths.projector);
    check_gguf_halves(s);
    s.dialect = settled_dialect(s, wanted, warnings);
    return s;
}

/// Reads into `d` the small files of a Hugging Face folder that a file of this library contains.
inline void read_own_files(description& d, gguf_content const& content) {
    auto const files = gguf_small_files(content);
    std::string const file = d.path.string();
    auto const parsed = [&](std::string const& name) -> std::optional<nlohmann::json> {
        auto const at = files.find(name);
        if (at == files.end()) return std::nullopt;
        return parse_json(at->second, file + ": " + name, {.bytes = std::size_t{4} << 20});
    };
    if (auto const document = parsed("config.json")) d.model = read_config(*document, file + ": config.json");
    if (auto const document = parsed("tokenizer_config.json")) d.chat.words = read_template_words(*document);
    if (auto const document = parsed("generation_config.json"))
        d.generation = read_generation(*document, file + ": generation_config.json", d.warnings);
    for (char const* const name : {"preprocessor_config.json", "processor_config.json"})
        if (auto const document = parsed(name)) {
            json_view const root(*document, file + ": " + name);
            auto const nested = root.find("image_processor");
            if (nested || std::string_view(name).starts_with("pre"))
                d.pictures = read_preprocessor(nested ? *nested : root);
        }
    for (char const* const name : {"tokenizer.json", "tokenizer.model"})
        if (auto const at = files.find(name); at != files.end()) {
            d.tokenizer.text = at->second;
            d.tokenizer.file = file + ": " + name;
            return;
        }
}

inline void read_gguf_tokenizer(description& d, gguf_content const& content) {
    auto const* const tokens = content.find("tokenizer.ggml.tokens");
    if (!tokens) return find_tokenizer(d);
    if (auto const* const model = content.find("tokenizer.ggml.model"); model && model->text() != "gpt2")
        throw mismatch_error(model->place() + ": the tokenizer " + in_quotes(model->text())
                             + " is not supported, \"gpt2\" (byte-pair encoding) is");
    if (auto const* const pre = content.find("tokenizer.ggml.pre"); pre && pre->text() != "llama-bpe")
        throw mismatch_error(pre->place() + ": the splitting " + in_quotes(pre->text())
                             + " is not supported, \"llama-bpe\" is");
    d.tokenizer.tokens = tokens->texts();
    if (auto const* const types = content.find("tokenizer.ggml.token_type")) d.tokenizer.types = types->naturals(6);
    if (auto const* const merges = content.find("tokenizer.ggml.merges")) d.tokenizer.merges = merges->texts();
    d.tokenizer.file = d.path.string() + ": tokenizer.ggml";
}

} // namespace detail

/// Reads the keys of a checkpoint into `d`. d.path is a file, a folder with one or two, or a model of ollama's.
/// @throws file_error, format_error and mismatch_error; with faults::collected, their messages are in `problems`
///         instead
inline void describe_gguf(description& d, faults mode, gguf_dialect wanted) {
    auto const step = [&](auto const& f) { attempt(mode, d.problems, f); };
    step([&] {
        d.gguf = std::make_shared<gguf_files const>(detail::open_gguf_files(d.path, wanted, d.warnings));
        gguf_files const& s = *d.gguf;
        d.weights.files = {s.paths.model};
        if (s.projector) d.weights.files.push_back(s.paths.projector);
        d.dialect = std::string(name_of(s.dialect));
        if (auto const* const text = s.model.find("tokenizer.chat_template"))
            d.chat = {std::string(text->text()), s.paths.model, {}};
        step([&] { detail::read_own_files(d, s.model); });
        step([&] {
            if (!d.model) {
                d.model = read_gguf_config(s.model, s.other(), d.path.string());
                return;
            }
            auto const& n = d.model->values;
            if (gguf_family(s.model, d.path.string()) != n.kind)
                throw mismatch_error(d.path.string() + ": its config.json describes another architecture, "
                                     + in_quotes(name_of(n.kind)) + ", than its keys");
            check_gguf_rope(n.text, s.model.content, d.path.string());
        });
        if (d.tokenizer.text.empty()) step([&] { detail::read_gguf_tokenizer(d, s.model); });
        step([&] { read_ollama_layers(s.paths, d); });
        if (!d.model) return;
        if (d.generation.stop_ids.empty()) d.generation.stop_ids = d.model->stop_ids;
        if (!d.generation.bos) d.generation.bos = d.model->bos;
        if (!d.generation.pad) d.generation.pad = d.model->pad;
        if (d.model->text_alone) return;
        auto const& v = d.model->values.vision;
        if (!s.model.find(std::string(gguf_file_key) + "preprocessor_config.json")
            && !s.model.find(std::string(gguf_file_key) + "processor_config.json"))
            d.pictures = published_preprocessor(v.tile, v.tiles);
        step([&] { detail::check_tiles(d.pictures, v, d.path.string()); });
    });
}

/// Converts the tensors that `describe_gguf` read to Hugging Face's names and layouts. `report` counts files.
inline void map_gguf(opened& o, progress const& report, faults mode) {
    if (!o.gguf || !o.model) return; // nothing could be read, and the fault was collected
    attempt(mode, o.problems, [&] {
        gguf_files const& files = *o.gguf;
        o.tensors = gguf_to_hugging_face(files.model, files.other(), o.model->values, files.dialect, o.path.string());
    });
    if (report) report(o.weights.files.size(), o.weights.files.size());
}

} // namespace llamavision::checkpoint
