// SPDX-License-Identifier: Apache-2.0
// Whole folders: one file of weights or shards, every JSON file, and their faults.
#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/recognise.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>

#include "../../../support/message.hpp"
#include "../../temporary_folder.hpp"

#include <array>
#include <cstddef>
#include <doctest/doctest.h>
#include <string>
#include <utility>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::array<std::byte, 8> const eight_bytes{};

void write_tensors(std::filesystem::path const& path, std::vector<std::string> const& names, dtype type = dtype::f32) {
    std::vector<tensor_to_write> tensors;
    for (auto const& name : names) tensors.push_back({name, type, {8 / size_of(type)}, eight_bytes});
    write_safetensors(path, tensors);
}

/// A folder with the three JSON files, and one weight file unless told otherwise.
class checkpoint_folder : public temporary_folder {
  public:
    explicit checkpoint_folder(bool weights = true) {
        write("config.json", text_of_file(LLAMAVISION_TEST_DATA "/config/p1_4_45.json"));
        write("generation_config.json",
              R"({"do_sample": true, "temperature": 0.6, "top_p": 0.9, "eos_token_id": [2, 3, 4], "pad_token_id": 5})");
        write("preprocessor_config.json", R"({"size": {"height": 70, "width": 70}, "image_mean": [0.1, 0.2, 0.3]})");
        if (weights) write_tensors(path() / "model.safetensors", {"vision_model.class_embedding", "lm_head.weight"});
    }
};

template <class E = error>
std::string fault(std::filesystem::path const& path) {
    return message_of<E>([&] { return open(path); });
}

std::vector<std::string> problems(std::filesystem::path const& path) {
    return open(path, {}, faults::collected).problems;
}

} // namespace

TEST_CASE("a folder with one file") {
    checkpoint_folder const folder;
    std::vector<std::pair<std::size_t, std::size_t>> reports;
    auto const opened =
        open(folder.path(), [&](std::size_t done, std::size_t total) { reports.emplace_back(done, total); });
    CHECK(opened.form == kind::hugging_face);
    CHECK(opened.tensors.tensors.size() == 2);
    CHECK(opened.tensors.tensors.contains("language_model.lm_head.weight"));
    CHECK(opened.model->values.text.width == 64);
    CHECK(opened.generation.do_sample);
    CHECK(opened.generation.temperature == 0.6);
    CHECK(opened.generation.top_p == 0.9);
    CHECK_FALSE(opened.generation.top_k);
    CHECK(opened.generation.repetition_penalty == 1.0);
    CHECK(opened.generation.stop_ids == std::vector<std::int32_t>{2, 3, 4});
    CHECK(opened.generation.bos == 1); // from config.json
    CHECK(opened.generation.pad == 5);
    CHECK(opened.pictures.tile == 70);
    CHECK(opened.pictures.mean[2] == 0.3);
    CHECK(opened.pictures.deviation[0] == 0.5); // the class's default
    CHECK(opened.warnings.empty());
    CHECK(opened.problems.empty());
    CHECK(reports == std::vector<std::pair<std::size_t, std::size_t>>{{0, 1}, {1, 1}});
    CHECK(problems(folder.path()).empty());
    CHECK(open(folder.path() / "model.safetensors").tensors.tensors.size() == 2);
}

TEST_CASE("a description needs no readable weights") {
    checkpoint_folder const folder;
    folder.write("model.safetensors", "not weights");
    CHECK(read_description(folder.path()).model->values.vision.width == 48);
    CHECK(contains(fault<format_error>(folder.path()), "model.safetensors: not a safetensors file"));
}

TEST_CASE("what generation_config.json does not say comes from config.json") {
    checkpoint_folder const folder;
    std::filesystem::remove(folder.path() / "generation_config.json");
    auto const silent = read_description(folder.path());
    CHECK_FALSE(silent.generation.do_sample);
    CHECK(silent.generation.stop_ids == std::vector<std::int32_t>{2, 3, 4});
    folder.write("generation_config.json", R"({"eos_token_id": 9, "top_k": 50, "repetition_penalty": 1.1})");
    auto const other = read_description(folder.path());
    CHECK(other.generation.stop_ids == std::vector<std::int32_t>{9});
    CHECK(other.generation.top_k == 50);
    CHECK(other.generation.repetition_penalty == 1.1);
    for (auto const& c : {std::pair{R"({"temperature": -0.1})", "temperature: expected a number that is not negative"},
                          std::pair{R"({"temperature": "hot"})", "temperature: expected a number"},
                          std::pair{R"({"top_p": -0.1})", "top_p: expected a number from 0 to 1"},
                          std::pair{R"({"top_p": 1.5})", "top_p: expected a number from 0 to 1"},
                          std::pair{R"({"top_k": -2})", "top_k: expected a non-negative integer"},
                          std::pair{R"({"max_new_tokens": -1})", "max_new_tokens: expected a non-negative integer"},
                          std::pair{R"({"stop_strings": [""]})", "stop_strings: expected texts that are not empty"},
                          std::pair{R"({"repetition_penalty": 0})", "repetition_penalty: expected a positive number"},
                          std::pair{R"({"do_sample": 1})", "do_sample: expected true or false"},
                          std::pair{"{", "generation_config.json: not valid JSON at byte"}}) {
        folder.write("generation_config.json", c.first);
        CHECK_MESSAGE(contains(fault<format_error>(folder.path()), c.second), c.second);
    }
}

TEST_CASE("generation_config.json: what is obeyed, what changes nothing, and what is named") {
    checkpoint_folder const folder;
    auto const read = [&](char const* text) {
        folder.write("generation_config.json", text);
        return read_description(folder.path());
    };
    auto const d = read(R"({"eos_token_id": 2, "top_p": 0, "top_k": -1, "temperature": 0, "max_new_tokens": 7,
        "stop_strings": "end", "use_cache": false, "num_beams": 1, "max_length": 20, "min_p": null,
        "suppress_tokens": [], "no_repeat_ngram_size": 0, "typical_p": 1})");
    CHECK(d.warnings.empty());
    CHECK(d.generation.top_p == 0);
    CHECK_FALSE(d.generation.top_k.has_value());
    CHECK(d.generation.max_tokens == 7);
    CHECK(d.generation.stop_strings == std::vector<std::string>{"end"});
    CHECK(read(R"({"eos_token_id": 2, "stop_strings": ["a", "b"]})").generation.stop_strings.size() == 2);
    for (char const* const key : {"min_p", "typical_p", "num_beams", "max_length", "min_length", "min_new_tokens",
                                  "no_repeat_ngram_size", "guidance_scale", "unknown_key"}) {
        auto const named = read(("{\"eos_token_id\": 2, \"" + std::string(key) + "\": 3}").c_str()).warnings;
        REQUIRE(named.size() == 1);
        CHECK(contains(named.front(), std::string("is not obeyed in: ") + key + " 3;"));
    }
    auto const several =
        read(R"({"eos_token_id": 2, "bad_words_ids": [[5]], "sequence_bias": [[[5], -1.0]]})").warnings;
    REQUIRE(several.size() == 1);
    CHECK(contains(several.front(), "bad_words_ids [[5]], sequence_bias [[[5],-1.0]]"));
}

TEST_CASE("a link that leads nowhere is no absent file") {
    for (char const* name : {"generation_config.json", "chat_template.json", "chat_template.jinja",
                             "preprocessor_config.json", "processor_config.json", "tokenizer_config.json"}) {
        checkpoint_folder const folder;
        std::filesystem::remove(folder.path() / name);
        std::filesystem::create_symlink("../../blobs/0123", folder.path() / name);
        CHECK(contains(fault<file_error>(folder.path()),
                       std::string(name) + ": is a link to a file that is not there; fetch it again"));
    }
}

TEST_CASE("the image processor in its places and spellings") {
    checkpoint_folder const folder;
    auto const pictures = [&] { return read_description(folder.path()).pictures; };
    folder.write("processor_config.json", R"({"processor_class": "MllamaProcessor"})"); // without the image processor
    CHECK(pictures().mean[0] == 0.1);
    folder.write("processor_config.json",
                 R"({"image_processor": {"size": 70, "image_mean": 0.25, "rescale_factor": 0.5}})");
    CHECK(pictures().mean[0] == 0.25);
    CHECK(pictures().rescale == 0.5);
    std::filesystem::remove(folder.path() / "processor_config.json");

    auto const with = [&](std::string const& keys) {
        folder.write("preprocessor_config.json", R"({"size": {"height": 70, "width": 70}, )" + keys + "}");
        return fault(folder.path());
    };
    CHECK(with(R"("do_normalize": false, "do_rescale": false)") == "nothing was thrown");
    CHECK(pictures().mean[0] == 0);
    CHECK(pictures().deviation[0] == 1);
    CHECK(pictures().rescale == 1);
    CHECK(contains(with(R"("do_pad": false)"), "do_pad: false is not supported"));
    CHECK(contains(with(R"("do_resize": false)"), "do_resize: false is not supported"));
    CHECK(contains(with(R"("resample": 3)"), "resample: 3 is not supported, 2 (bilinear) is"));
    CHECK(contains(with(R"("image_std": [1, 1, 0])"), "image_std[2]: expected a number from 1e-04 to 1000, found 0"));
    CHECK(contains(with(R"("image_std": 1e-300)"), "image_std: expected a number from 1e-04 to 1000, found 1e-300"));
    CHECK(contains(with(R"("image_mean": [0, 18446744073709551616, 0])"),
                   "image_mean[1]: expected a number from -1000 to 1000, found 18446744073709551616"));
    CHECK(contains(with(R"("rescale_factor": 18446744073709551616)"), "rescale_factor: expected a number from 1e-06"));
    CHECK(contains(with(R"("rescale_factor": -1)"), "rescale_factor: expected a number from 1e-06 to 1000, found -1"));
    CHECK(with(R"("do_rescale": false, "image_mean": [123.7, 116.3, 103.5], "image_std": [58.4, 57.1, 57.4])")
          == "nothing was thrown");
    CHECK(contains(with(R"("image_std": [1, 1])"), "image_std: expected three numbers"));
    CHECK(contains(with(R"("max_image_tiles": 2)"), "up to 2 tiles of 70 pixels, but config.json says 4 of 70"));
    folder.write("preprocessor_config.json", R"({"size": {"height": 70, "width": 84}})");
    CHECK(contains(fault<mismatch_error>(folder.path()), "size: tiles that are not square are not supported"));
    folder.write("preprocessor_config.json", R"({"size": {"shortest_edge": 70}})");
    CHECK(contains(fault<format_error>(folder.path()), R"(size: the key "height" is missing)"));
    folder.write("preprocessor_config.json", "{}");
    CHECK(contains(fault<mismatch_error>(folder.path()), "4 tiles of 224 pixels, but config.json says 4 of 70"));

    std::filesystem::remove(folder.path() / "preprocessor_config.json");
    auto const without = read_description(folder.path());
    CHECK(without.pictures.tile == 70);
    CHECK(without.pictures.mean[0] == 0.48145466);
    REQUIRE(without.warnings.size() == 1);
    CHECK(contains(without.warnings.front(), "has no preprocessor_config.json"));
}

TEST_CASE("the tokenizer's files are found") {
    checkpoint_folder const folder;
    CHECK(read_description(folder.path()).tokenizer_json.empty());
    folder.write("tokenizer.json", "{}");
    folder.write("original/tokenizer.model", "");
    auto const d = read_description(folder.path());
    CHECK(d.tokenizer_json == folder.path() / "tokenizer.json");
    CHECK(d.tokenizer_model == folder.path() / "original/tokenizer.model");
}

TEST_CASE("shards with an index") {
    checkpoint_folder const folder(false);
    write_tensors(folder.path() / "model-00001-of-00002.safetensors", {"model.vision_model.class_embedding", "a"});
    write_tensors(folder.path() / "model-00002-of-00002.safetensors", {"lm_head.weight"});
    auto const index = [&](std::string const& map) {
        folder.write("model.safetensors.index.json", R"({"metadata": {"total_size": 1}, "weight_map": {)" + map + "}}");
    };
    std::string const right = R"("model.vision_model.class_embedding": "model-00001-of-00002.safetensors",
        "a": "model-00001-of-00002.safetensors", "lm_head.weight": "model-00002-of-00002.safetensors")";

    CHECK(contains(fault<file_error>(folder.path()),
                   "holds model-00001-of-00002.safetensors, model-00002-of-00002.safetensors, but neither"));
    index(right);
    auto const opened = open(folder.path());
    CHECK(opened.tensors.tensors.size() == 3);
    CHECK(opened.tensors.tensors.contains("vision_model.class_embedding"));
    CHECK(opened.tensors.owners.size() == 2);
    auto const one = open(folder.path() / "model-00002-of-00002.safetensors");
    CHECK(one.tensors.tensors.size() == 1);
    CHECK(contains(one.warnings.back(), "is one of several files"));

    index(right + R"(, "b": "model-00002-of-00002.safetensors")");
    CHECK(contains(fault<format_error>(folder.path()),
                   R"(names tensors that the files lack: "b" in model-00002-of-00002.safetensors)"));
    index(R"("a": "model-00001-of-00002.safetensors", "lm_head.weight": "model-00001-of-00002.safetensors")");
    CHECK(contains(
        fault<format_error>(folder.path()),
        R"(lack: "lm_head.weight" in model-00001-of-00002.safetensors; does not name tensors that the files hold: "model.vision)"));
    index(right + R"(, "c": "model-00003-of-00003.safetensors", "d": "model-00004-of-00003.safetensors")");
    CHECK(contains(fault<file_error>(folder.path()),
                   "2 of the 4 files that it names are missing: model-00003-of-00003.safetensors, model-0"));
    auto const partial = open(folder.path(), {}, faults::collected);
    CHECK(partial.problems.size() == 1);
    CHECK(partial.tensors.tensors.size() == 3);
    write_tensors(folder.path() / "model-00002-of-00002.safetensors", {"lm_head.weight", "a"});
    index(right);
    CHECK(contains(fault<format_error>(folder.path()), R"(files hold: "a" in model-00002-of-00002.safetensors)"));
    write_tensors(folder.path() / "model-00002-of-00002.safetensors",
                  {"lm_head.weight", "vision_model.class_embedding"});
    index(right + R"(, "vision_model.class_embedding": "model-00002-of-00002.safetensors")");
    CHECK(contains(fault<format_error>(folder.path()), "occurs in two spellings"));
}

TEST_CASE("an index cannot lead out of its folder") {
    checkpoint_folder const folder(false);
    write_tensors(folder.path() / "in.safetensors", {"a"});
    for (std::string const name :
         {"../in.safetensors", "/etc/passwd", "sub/in.safetensors", "..", ".", "", "a\\\\b", "C:x", "in\\u0000x"}) {
        folder.write("model.safetensors.index.json", R"({"weight_map": {"a": ")" + name + R"("}})");
        CHECK_MESSAGE(contains(fault<format_error>(folder.path()),
                               "weight_map.a: expected the name of a file in the same folder"),
                      name);
    }
    folder.write("model.safetensors.index.json", R"({"weight_map": {}})");
    CHECK(contains(fault<format_error>(folder.path()), "names no tensor"));
    folder.write("model.safetensors.index.json", R"({"metadata": {}})");
    CHECK(contains(fault<format_error>(folder.path()), R"(the key "weight_map" is missing)"));
    folder.write("model.safetensors.index.json", R"({"weight_map": {"a": "in.safetensors", "a": "in.safetensors"}})");
    CHECK(contains(fault<format_error>(folder.path()), "occurs twice"));
    folder.write("model.safetensors.index.json", R"({"weight_map": {"a": 5}})");
    CHECK(contains(fault<format_error>(folder.path()), "weight_map.a: expected text, found 5"));
}

TEST_CASE("quantised weights and adapters are told") {
    checkpoint_folder const folder;
    write_tensors(folder.path() / "model.safetensors", {"a.weight"}, dtype::u8);
    CHECK(contains(fault<mismatch_error>(folder.path()), R"("a.weight" (U8))"));
    write_tensors(folder.path() / "model.safetensors", {"base_model.model.a.lora_A.weight"});
    CHECK(contains(fault<format_error>(folder.path()), "adapter (PEFT)"));
}

TEST_CASE("all problems at once, for inspection") {
    checkpoint_folder const folder;
    folder.write("config.json", R"({"model_type": "mistral"})");
    folder.write("generation_config.json", "[]");
    folder.write("preprocessor_config.json", "");
    folder.write("chat_template.json", "{");
    folder.write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n");
    auto const found = problems(folder.path());
    REQUIRE(found.size() == 5);
    CHECK(contains(found[0], "model_type is \"mistral\""));
    CHECK(contains(found[1], "generation_config.json: expected an object"));
    CHECK(contains(found[2], "preprocessor_config.json: is empty"));
    CHECK(contains(found[3], "chat_template.json: not valid JSON"));
    CHECK(contains(found[4], "Git LFS pointer"));
    CHECK(contains(problems(folder.path() / "nothing").front(), "no such file or folder"));
}

TEST_CASE("other forms of checkpoint are called by name") {
    temporary_folder const folder;
    CHECK(recognise(folder.path()) == kind::unknown);
    CHECK(contains(fault<file_error>(folder.path()),
                   "is no checkpoint of a known form; these are read: Hugging Face's form"));
    folder.write("pytorch_model.bin", "");
    CHECK(recognise(folder.path()) == kind::pytorch);
    std::filesystem::create_directory(folder.path() / "folder.gguf");
    CHECK(recognise(folder.path()) == kind::pytorch); // a folder is not taken for a file because of its name
    folder.write("x.gguf", "");
    CHECK(recognise(folder.path()) == kind::gguf);
    CHECK(recognise(folder.path() / "x.gguf") == kind::gguf);
    folder.write("params.json", "{}");
    CHECK(recognise(folder.path()) == kind::meta);
    CHECK(contains(fault<format_error>(folder.path()), R"(params.json: the key "dim" is missing)"));
    folder.write("adapter_model.safetensors", "");
    CHECK(recognise(folder.path()) == kind::adapter);
    folder.write("model.safetensors", "");
    CHECK(recognise(folder.path()) == kind::hugging_face);
    CHECK(contains(fault<file_error>(folder.path()), "config.json: no such file"));
    CHECK(contains(fault<file_error>(folder.path() / "none"), "none: no such file or folder"));

    temporary_folder const bare;
    bare.write("config.json", text_of_file(LLAMAVISION_TEST_DATA "/config/p1_4_45.json"));
    bare.write("original/params.json", "{}");
    bare.write("preprocessor_config.json", R"({"size": 70})");
    CHECK(contains(fault<file_error>(bare.path()),
                   "holds no model.safetensors, nor shards with an index; Meta's files in original/"));
    bare.write("original/consolidated.00.pth", "");
    CHECK(recognise(bare.path()) == kind::meta); // a download without Hugging Face's weights
    folder.write("only/pytorch_model.bin", "");
    CHECK(contains(fault<file_error>(folder.path() / "only"), "save it again, which writes safetensors"));
    folder.write("lora/adapter_config.json", "");
    CHECK(contains(fault<file_error>(folder.path() / "lora"), "open its base model"));
}

TEST_CASE("a folder of Hugging Face's cache stands for its snapshot") {
    temporary_folder const cache;
    checkpoint_folder const model;
    auto const repository = cache.path() / "models--meta-llama--Llama-3.2-11B-Vision";
    auto const add = [&](std::string const& revision) {
        std::filesystem::create_directories(repository / "blobs");
        std::filesystem::create_directories(repository / "snapshots" / revision);
        for (auto const& entry : std::filesystem::directory_iterator(model.path())) {
            auto const name = entry.path().filename();
            std::filesystem::rename(entry.path(), repository / "blobs" / (revision + name.string()));
            std::filesystem::create_symlink("../../blobs/" + revision + name.string(),
                                            repository / "snapshots" / revision / name);
        }
    };
    std::filesystem::create_directories(repository / "blobs");
    std::filesystem::create_directories(repository / "snapshots");
    CHECK(contains(fault<file_error>(repository), "with no snapshot in it; download it again"));
    add("abc1");
    auto const read = open(repository);
    CHECK(read.path == repository / "snapshots/abc1");
    CHECK(read.tensors.tensors.size() == 2);
    CHECK(open(repository / "snapshots/abc1").tensors.tensors.size() == 2);
    CHECK(open(repository / "snapshots/abc1/model.safetensors").tensors.tensors.size() == 2);

    std::filesystem::create_directory(repository / "snapshots/def2");
    CHECK(contains(fault<file_error>(repository), "several snapshots: abc1, def2; name the folder of one"));
    static_cast<void>(cache.write("models--meta-llama--Llama-3.2-11B-Vision/refs/main", "abc1\n"));
    CHECK(open(repository).path == repository / "snapshots/abc1");
    static_cast<void>(cache.write("models--meta-llama--Llama-3.2-11B-Vision/refs/main", "../../elsewhere"));
    CHECK(contains(fault<file_error>(repository), "several snapshots"));

    std::filesystem::remove(repository / "blobs/abc1model.safetensors");
    CHECK(contains(fault<file_error>(repository / "snapshots/abc1"), "is a link to a file that is not there"));
}

TEST_CASE("the text model alone, with a configuration of the whole or of its own") {
    checkpoint_folder const folder;
    write_tensors(folder.path() / "model.safetensors", {"language_model.model.norm.weight", "lm_head.weight"});
    auto const stripped = open(folder.path());
    CHECK(checkpoint::is_text_alone(stripped.tensors));
    REQUIRE(stripped.warnings.size() == 1);
    CHECK(contains(stripped.warnings.front(), "holds the text model alone, though config.json describes"));
    CHECK(open(folder.path() / "model.safetensors").warnings.empty()); // a file may be one of several

    auto config = nlohmann::json::parse(text_of_file(LLAMAVISION_TEST_DATA "/config/p1_4_45.json")).at("text_config");
    config["model_type"] = "mllama_text_model";
    folder.write("config.json", config.dump());
    write_tensors(folder.path() / "model.safetensors", {"model.layers.0.input_layernorm.weight", "model.norm.weight",
                                                        "model.embed_tokens.weight", "lm_head.weight"});
    std::filesystem::remove(folder.path() / "preprocessor_config.json");
    auto const own = open(folder.path());
    CHECK(own.warnings.empty());
    CHECK(own.model->text_alone);
    CHECK(own.model->image_token == 512);
    CHECK(own.model->values.text == stripped.model->values.text);
    CHECK(own.tensors.tensors.contains("language_model.model.layers.0.input_layernorm.weight"));
    CHECK(own.tensors.tensors.contains("language_model.model.embed_tokens.weight"));
    CHECK(with_names_of_text_alone(own.tensors).tensors.contains("model.norm.weight"));
    CHECK(with_names_of_text_alone(own.tensors).tensors.contains("lm_head.weight"));
}

TEST_CASE("weights of several types, in one folder") {
    checkpoint_folder const folder(false);
    write_tensors(folder.path() / "a.safetensors", {"model.vision_model.class_embedding"}, dtype::f32);
    write_tensors(folder.path() / "b.safetensors", {"model.language_model.norm.weight"}, dtype::f16);
    write_tensors(folder.path() / "c.safetensors", {"lm_head.weight"}, dtype::bf16);
    folder.write("model.safetensors.index.json", R"({"metadata": {"total_size": 0}, "weight_map": {
        "model.vision_model.class_embedding": "a.safetensors", "model.language_model.norm.weight": "b.safetensors",
        "lm_head.weight": "c.safetensors"}})");
    auto const opened = open(folder.path());
    CHECK(opened.tensors.tensors.at("vision_model.class_embedding").type == dtype::f32);
    CHECK(opened.tensors.tensors.at("language_model.model.norm.weight").type == dtype::f16);
    CHECK(opened.tensors.tensors.at("language_model.lm_head.weight").type == dtype::bf16);
}

TEST_CASE("a Llama Guard is told by its template") {
    checkpoint_folder const folder;
    CHECK(open(folder.path()).warnings.empty());
    folder.write("chat_template.json",
                 R"({"chat_template": "Task: Check if there is unsafe content in 'User' messages"})");
    auto const d = read_description(folder.path());
    REQUIRE(d.warnings.size() == 1);
    CHECK(contains(d.warnings.front(), "Llama Guard"));
    CHECK(contains(d.warnings.front(), "chat_template.json"));
}
