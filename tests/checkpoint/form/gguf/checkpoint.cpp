// SPDX-License-Identifier: Apache-2.0
// GGUF as users have it: files, folders, ollama's store, and this library's own files; and the faults of each.
#include <llamavision/checkpoint/form/gguf/checkpoint.hpp>
#include <llamavision/checkpoint/form/gguf/mapping.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/gguf.hpp>
#include <llamavision/support/sha256.hpp>

#include "../../../support/message.hpp"
#include "../../temporary_folder.hpp"

#include <algorithm>
#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::filesystem::path const data = LLAMAVISION_TEST_DATA "/checkpoint/gguf";

opened const& reference() {
    static opened const read = open(data / "hf");
    return read;
}

/// Writes the reference in a dialect, after a change.
void write(
    std::filesystem::path const& path, gguf_dialect dialect,
    std::function<void(gguf_to_write&)> const& change = [](gguf_to_write&) {}) {
    auto file = hugging_face_to_gguf(reference().tensors, *reference().model, dialect);
    change(file);
    write_gguf(path, file);
}

std::string fault(std::filesystem::path const& path, gguf_dialect dialect = gguf_dialect::as_marked) {
    return message_of<error>([&] { return open(path, {}, faults::thrown, dialect); });
}

gguf_value_to_write& key(gguf_to_write& file, std::string const& name) {
    auto const at = std::find_if(file.keys.begin(), file.keys.end(), [&](auto const& k) { return k.first == name; });
    REQUIRE(at != file.keys.end());
    return at->second;
}

void erase(gguf_to_write& file, std::string const& part) {
    std::erase_if(file.keys, [&](auto const& k) { return k.first.find(part) != std::string::npos; });
    std::erase_if(file.tensors, [&](auto const& t) { return t.first.find(part) != std::string::npos; });
}

/// ollama's store with one model in it.
class store : public temporary_folder {
  public:
    std::string part(std::string const& type, std::string const& content) const {
        auto const hash = sha256_hex(std::as_bytes(std::span(content.data(), content.size())));
        static_cast<void>(temporary_folder::write("blobs/sha256-" + hash, content));
        return R"({"mediaType": "application/vnd.ollama.image.)" + type + R"(", "digest": "sha256:)" + hash
               + R"(", "size": )" + std::to_string(content.size()) + "}";
    }
    std::filesystem::path manifest(std::string const& layers, std::string const& tag = "11b") const {
        return temporary_folder::write("manifests/registry.ollama.ai/library/llama3.2-vision/" + tag,
                                       R"({"schemaVersion": 2, "layers": [)" + layers + "]}");
    }
};

} // namespace

TEST_CASE("this library's own file holds a folder's small files") {
    temporary_folder const folder;
    auto const path = folder.path() / "own.gguf";
    write(path, gguf_dialect::llamavision, [](gguf_to_write& file) {
        file.keys.emplace_back("llamavision.file.config.json", text_of_file(data / "hf/config.json"));
        file.keys.emplace_back("llamavision.file.generation_config.json",
                               std::string(R"({"do_sample": true, "temperature": 0.5, "eos_token_id": 9})"));
        file.keys.emplace_back("llamavision.file.preprocessor_config.json",
                               std::string(R"({"size": 28, "image_mean": 0.25})"));
        file.keys.emplace_back("llamavision.file.tokenizer.model", std::string("IQ== 0"));
        file.keys.emplace_back("tokenizer.chat_template", std::string("template"));
    });
    auto const read = open(path);
    CHECK(read.dialect == "llamavision");
    CHECK(read.warnings.empty());
    CHECK(read.model->values == reference().model->values);
    CHECK(read.generation.temperature == 0.5);
    CHECK(read.generation.stop_ids == std::vector<std::int32_t>{9});
    CHECK(read.generation.bos == 256);
    CHECK(read.pictures.mean[2] == 0.25);
    CHECK(read.chat.text == "template");
    CHECK(read.tokenizer.text == "IQ== 0");
    CHECK(gguf_small_files(open_gguf(path)).size() == 4);
    for (auto const& [name, t] : read.tensors.tensors) {
        tensor const& expected = reference().tensors.tensors.at(name);
        CHECK(t.type == expected.type);
        CHECK(std::equal(t.bytes.begin(), t.bytes.end(), expected.bytes.begin(), expected.bytes.end()));
    }
    CHECK(
        contains(fault(path, gguf_dialect::ollama), "is a file of llamavision's own, which cannot be of the dialect"));
    write(path, gguf_dialect::llamavision, [](gguf_to_write& file) {
        file.keys.emplace_back("llamavision.file.preprocessor_config.json", std::string(R"({"size": 56})"));
    });
    CHECK(contains(fault(path), "up to 4 tiles of 56 pixels"));
    write(path, gguf_dialect::llamavision,
          [](gguf_to_write& file) { key(file, "llamavision.layout") = std::string("other"); });
    CHECK(contains(fault(path), "expected the layout \"hugging face\""));
}

TEST_CASE("two files in one folder, and halves alone") {
    temporary_folder const folder;
    std::filesystem::copy(data / "pair/model.gguf",
                          folder.path() / "z.gguf"); // names do not tell which file is the projector
    CHECK(contains(fault(folder.path()), "holds only the text's half"));
    std::filesystem::copy(data / "pair/projector.gguf", folder.path() / "a.gguf");
    CHECK(open(folder.path(), {}, faults::thrown, gguf_dialect::pair).tensors.tensors.size()
          == reference().tensors.tensors.size());
    CHECK(contains(fault(folder.path() / "a.gguf"), "is a projector alone"));
    CHECK(contains(fault(folder.path(), gguf_dialect::ollama), "which cannot be of the dialect ollama"));
    std::filesystem::copy(data / "ollama.gguf", folder.path() / "b.gguf");
    CHECK(contains(fault(folder.path()), "holds 3 GGUF files; name one of them"));
    std::filesystem::remove(folder.path() / "z.gguf");
    CHECK(contains(fault(folder.path()), "is a whole model, and needs no projector"));
    CHECK(contains(fault(folder.path() / "b.gguf", gguf_dialect::pair), "which cannot be of the dialect pair"));
    std::filesystem::remove(folder.path() / "a.gguf");
    CHECK(open(folder.path()).warnings.size() == 1); // a folder with one file is that file
}

TEST_CASE("ollama's store: one file, two files, parameters") {
    store const ollama;
    auto const one = ollama.part("model", text_of_file(data / "ollama.gguf"));
    auto const drawn = ollama.part("params", R"({"temperature": 0.6, "top_p": 0.9, "stop": ["<|eot_id|>"]})");
    auto const manifest = ollama.manifest(one + "," + drawn + "," + ollama.part("license", "text"));
    auto const read = open(manifest);
    CHECK(read.form == kind::gguf);
    CHECK(read.tensors.tensors.size() == reference().tensors.tensors.size());
    CHECK(read.generation.do_sample);
    CHECK(read.generation.temperature == 0.6);
    CHECK(read.generation.top_p == 0.9);
    CHECK(read.generation.stop_ids == std::vector<std::int32_t>{257, 264, 265});
    CHECK(open(manifest.parent_path()).tensors.tensors.size() == read.tensors.tensors.size());
    CHECK(open(read.weights.files.front()).tensors.tensors.size()
          == read.tensors.tensors.size()); // the blob itself can be opened, too

    auto const two = ollama.manifest(ollama.part("model", text_of_file(data / "pair/model.gguf")) + ","
                                         + ollama.part("projector", text_of_file(data / "pair/projector.gguf")),
                                     "old");
    CHECK(open(two, {}, faults::thrown, gguf_dialect::pair).weights.files.size() == 2);
    CHECK(contains(fault(manifest.parent_path()), "several of ollama's manifests: 11b, old; name the file of one tag"));
}

TEST_CASE("ollama's layers are obeyed or named") {
    store const ollama;
    auto const one = ollama.part("model", text_of_file(data / "ollama.gguf"));
    auto const read = [&](std::string const& kind, std::string const& content) {
        return read_description(ollama.manifest(one + "," + ollama.part(kind, content)));
    };
    auto const last = [](description const& d) { return d.warnings.back(); };
    auto const silent = read("license", "text").warnings.size(); // the dialect's own
    auto const params = read("params", R"({"temperature": 0, "stop": ["a", "b"], "num_predict": 5, "num_batch": 3,
        "top_p": 0, "mirostat": 0})");
    CHECK(params.generation.stop_strings == std::vector<std::string>{"a", "b"});
    CHECK(params.generation.max_tokens == 5);
    CHECK(params.generation.top_p == 0);
    CHECK_FALSE(params.generation.do_sample);
    CHECK(params.warnings.size() == silent);
    CHECK_FALSE(read("params", R"({"num_predict": -1})").generation.max_tokens.has_value());
    CHECK(read("params", R"({"seed": 7})").generation.seed == 7);
    for (char const* const text : {R"({"min_p": 0.1})", R"({"seed": 7})", R"({"top_k": -1})", R"({"num_ctx": 9})",
                                   R"({"repeat_penalty": 1.1})", R"({"presence_penalty": 1})", R"({"other": 1})"}) {
        auto const d = read("params", text);
        std::string const key = std::string(text).substr(2, std::string(text).find('"', 2) - 2);
        CHECK(d.warnings.size() == silent + 1);
        CHECK_MESSAGE(contains(last(d), "is not obeyed in: " + key), last(d));
    }
    CHECK(read("system", "You are brief.").system == "You are brief.");
    auto const other = read("template", "{{ .System }} USER: {{ .Prompt }} ASSISTANT:");
    CHECK(contains(last(other), "TEMPLATE layer"));
    CHECK_FALSE(other.chat.as_converter);
    auto const published =
        read("template", "{{- range $index, $_ := .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n"
                         "{{ .Content }}\n{{- if gt (len (slice $.Messages $index)) 1 }}<|eot_id|>\n"
                         "{{- else if ne .Role \"assistant\" }}<|eot_id|><|start_header_id|>assistant"
                         "<|end_header_id|>\n\n{{ end }}\n{{- end }}\n");
    CHECK(published.chat.as_converter);
    CHECK(published.warnings.size() == silent);
    CHECK(contains(last(read("messages", "[]")), "application/vnd.ollama.image.messages"));
}

TEST_CASE("a manifest that lies") {
    store const ollama;
    auto const good = ollama.part("model", "GGUF");
    auto const with = [&](std::string const& layers) { return fault(ollama.manifest(layers)); };
    CHECK(contains(with(good), "the version should have 4 bytes"));
    CHECK(contains(with(""), "names no model among its layers"));
    CHECK(contains(with(good + "," + good), "expected one layer of the type application/vnd.ollama.image.model"));
    CHECK(
        contains(with(R"({"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../x", "size": 4})"),
                 "expected \"sha256:\" and 64 hexadecimal digits"));
    std::string changed = good;
    changed.replace(changed.find("sha256:") + 7, 4, "0000");
    CHECK(contains(with(changed), "is missing, a part of the ollama model; pull it again"));
    changed = good;
    changed.replace(changed.find("\"size\": 4"), 9, "\"size\": 5");
    CHECK(contains(with(changed), "has 4 bytes, but the manifest says 5"));
    CHECK(contains(with(good + "," + ollama.part("adapter", "x")), "has an adapter, which is not supported"));
    CHECK(contains(with("7"), "expected an object"));
    static_cast<void>(ollama.write("manifests/a/b", "{"));
    CHECK(contains(fault(ollama.path() / "manifests/a/b"), "not valid JSON"));
    std::filesystem::remove_all(ollama.path() / "blobs");
    CHECK(contains(with(good), "but there is no folder"));
}

TEST_CASE("keys that are missing, strange or contradictory") {
    temporary_folder const folder;
    auto const path = folder.path() / "x.gguf";
    auto const changed = [&](std::function<void(gguf_to_write&)> const& change) {
        write(path, gguf_dialect::ollama, change);
        return fault(path);
    };
    auto const set = [&](std::string const& name, gguf_value_to_write value) {
        return changed([&](gguf_to_write& file) { key(file, name) = value; });
    };
    CHECK(changed([](gguf_to_write&) {}) == "nothing was thrown");
    CHECK(contains(set("general.architecture", std::string("qwen2")), "is a model of the architecture \"qwen2\""));
    CHECK(contains(changed([](gguf_to_write& f) { erase(f, "mllama.vision.image_size"); }),
                   "the key \"mllama.vision.image_size\" is missing"));
    CHECK(contains(set("mllama.embedding_length", std::string("16")),
                   "\"mllama.embedding_length\": expected an integer"));
    CHECK(contains(set("mllama.embedding_length", std::uint32_t{0}), "expected a positive integer"));
    CHECK(contains(set("mllama.embedding_length", std::uint32_t{1} << 31), "expected at most"));
    CHECK(contains(set("mllama.attention.head_count", std::uint32_t{3}), "does not divide"));
    CHECK(contains(set("mllama.attention.cross_attention_layers", std::vector<std::int32_t>{-1}), "is not negative"));
    CHECK(
        contains(set("mllama.attention.cross_attention_layers", std::vector<std::int32_t>{5}), "there is no layer 5"));
    CHECK(contains(set("mllama.vision.max_num_tiles", std::uint32_t{65}), "expected at most 64"));
    CHECK(contains(set("mllama.attention.layer_norm_rms_epsilon", -1.0f), "expected a positive number"));
    CHECK(contains(set("mllama.attention.layer_norm_rms_epsilon", 2.5f),
                   "\"mllama.attention.layer_norm_rms_epsilon\": expected a number from 1e-30 to 0.1, found 2.5"));
    CHECK(contains(changed([](gguf_to_write& f) { f.keys.emplace_back("split.count", std::uint32_t{3}); }),
                   "is one of 3 files; join them first"));
    CHECK(contains(changed([](gguf_to_write& f) { f.keys.emplace_back("tokenizer.ggml.tokens", std::string("a")); }),
                   "expected an array of strings"));
    auto const words = [](char const* name, char const* value) {
        return [=](gguf_to_write& f) {
            f.keys.emplace_back("tokenizer.ggml.tokens", std::vector<std::string>{"a"});
            f.keys.emplace_back(name, std::string(value));
        };
    };
    CHECK(contains(changed(words("tokenizer.ggml.model", "llama")), "the tokenizer \"llama\" is not supported"));
    CHECK(contains(changed(words("tokenizer.ggml.pre", "gpt-2")), "the splitting \"gpt-2\" is not supported"));
}

TEST_CASE("the scaling of rotary frequencies stands in a tensor") {
    temporary_folder const folder;
    auto const path = folder.path() / "x.gguf";
    write(path, gguf_dialect::ollama, [](gguf_to_write& f) { erase(f, "rope_freqs"); });
    CHECK_FALSE(open(path).model->values.text.rope.scaled);
    std::vector<float> const others{1.5f, 1.5f};
    auto const with = [&](dtype type, std::vector<std::size_t> const& shape, std::size_t bytes) {
        write(path, gguf_dialect::ollama, [&](gguf_to_write& f) {
            erase(f, "rope_freqs");
            f.tensors.emplace_back("rope_freqs.weight",
                                   tensor{type, shape, std::as_bytes(std::span(others)).first(bytes), {}});
        });
        return fault(path);
    };
    CHECK(contains(with(dtype::f32, {2}, 8), "divides frequency 0 by 1.5"));
    CHECK(contains(with(dtype::f32, {1}, 4), "is not 2 values of F32, one for each pair"));
    CHECK(contains(with(dtype::f16, {2}, 4), "is not 2 values of F32, one for each pair"));
    auto const real = rope_factors({}, 128);
    CHECK(real.front() == 1.0f);
    CHECK(real.back() == 8.0f);
    CHECK(std::is_sorted(real.begin(), real.end()));
    CHECK(real.size() == 64);
}

TEST_CASE("what is not known is kept, and told by name") {
    temporary_folder const folder;
    auto const path = folder.path() / "x.gguf";
    write(path, gguf_dialect::ollama,
          [](gguf_to_write& f) { f.tensors.emplace_back("v.extra", f.tensors.front().second); });
    CHECK(open(path).tensors.tensors.contains("v.extra")); // `bind` reports it
    folder.write("x.gguf", "version https://git-lfs.github.com/spec/v1\n");
    auto const found = open(path, {}, faults::collected);
    REQUIRE(found.problems.size() == 1);
    CHECK(contains(found.problems.front(), "Git LFS pointer"));
    CHECK(found.tensors.tensors.empty());
}
