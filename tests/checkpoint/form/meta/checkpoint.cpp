// SPDX-License-Identifier: Apache-2.0
// Folders in Meta's form: files that torch wrote (make_pth.py), compared with the names and layouts of transformers;
// and the faults of a folder.
#include <llamavision/checkpoint/form/meta/checkpoint.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/recognise.hpp>
#include <llamavision/checkpoint/write/pth.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>

#include "../../../support/message.hpp"
#include "../../temporary_folder.hpp"

#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;
namespace fs = std::filesystem;

namespace {

fs::path const data = LLAMAVISION_TEST_DATA "/meta";

std::vector<std::byte> content(tensor const& t) {
    std::vector<std::byte> room;
    auto const bytes = bytes_of(t, room);
    return {bytes.begin(), bytes.end()};
}

void check_same(named_tensors const& a, named_tensors const& b) {
    CHECK(a.tensors.size() == b.tensors.size());
    for (auto const& entry : a.tensors) {
        CAPTURE(entry.first);
        auto const other = b.tensors.find(entry.first);
        REQUIRE(other != b.tensors.end());
        CHECK(entry.second.shape == other->second.shape);
        CHECK(content(entry.second) == content(other->second));
    }
}

/// A copy of the folder with one file of weights.
class meta_folder : public temporary_folder {
  public:
    meta_folder() { fs::copy(data / "1", path()); }

    /// Changes a number of params.json.
    void state(std::string const& key, std::string const& value) const {
        auto document = nlohmann::json::parse(text_of_file(path() / "params.json"));
        document[key] = nlohmann::json::parse(value);
        write("params.json", document.dump());
    }
    /// Writes the weights anew, with a change.
    template <class F>
    void change(F const& f) const {
        auto all = read_pth(data / "1" / "consolidated.pth");
        f(all.tensors);
        std::vector<tensor_to_write> list;
        for (auto const& [name, value] : all.tensors) list.push_back({name, value.type, value.shape, value.bytes, {}});
        write_pth(path() / "consolidated.pth", list);
    }
};

template <class E = error>
std::string fault(fs::path const& path) {
    return message_of<E>([&] { return open(path); });
}

} // namespace

TEST_CASE("Meta's names and layouts become those of transformers") {
    auto const opened = open(data / "1");
    CHECK(opened.form == kind::meta);
    check_same(opened.tensors, read_safetensors(data / "transformers.safetensors"));
    for (auto const& [name, value] : opened.tensors.tensors) CHECK(name.find("rope") == std::string::npos);
}

TEST_CASE("a folder that came from Meta's form keeps what Meta's has more") {
    temporary_folder const folder;
    fs::copy(LLAMAVISION_TEST_DATA "/golden/p1/hf", folder.path());
    CHECK(open(folder.path()).spare.tensors.empty());
    fs::create_directories(folder.path() / "original");
    std::vector<std::byte> const bytes(8);
    write_safetensors(folder.path() / spare_cells_file,
                      std::vector<tensor_to_write>{{"x", dtype::f32, {2}, bytes, {}}});
    CHECK(open(folder.path()).spare.tensors.size() == 1);
    folder.write(spare_cells_file, "{");
    CHECK(contains(fault<format_error>(folder.path()), "spare_tile_cells.safetensors: not a safetensors file"));
}

TEST_CASE("two files and eight are merged into what was divided") {
    auto const whole = read_pth(data / "1" / "consolidated.pth");
    for (std::string const count : {"2", "8"}) {
        auto const merged = checkpoint::detail::read_meta_weights(checkpoint::detail::find_meta_weights(data / count));
        CHECK(merged.tensors.size() == 17);
        named_tensors expected;
        for (auto const& [name, value] : merged.tensors) expected.tensors[name] = whole.tensors.at(name);
        check_same(merged, expected);
    }
}

TEST_CASE("what the folder says, and what Meta's code says for it") {
    meta_folder const folder;
    folder.write("tokenizer.model", "x");
    auto const d = read_description(folder.path());
    config::text_numbers const& t = d.model->values.text;
    CHECK(t.width == 16);
    CHECK(t.mlp == 48);
    CHECK(t.layers == 3);
    CHECK(t.cross_layers == std::vector<std::size_t>{1});
    config::vision_numbers const& v = d.model->values.vision;
    CHECK(v.width == 16);
    CHECK(v.mlp == 64);
    CHECK(v.layers == 1);
    CHECK(v.global_layers == 1);
    CHECK(v.tile == 14);
    CHECK(v.patch == 7);
    CHECK(d.model->unstated
          == std::vector<std::string>{"text.context", "vision.heads", "vision.taps", "vision.norm_eps"});
    REQUIRE(d.warnings.size() == 1);
    CHECK(contains(d.warnings[0], "does not say its heads nor which layers are tapped"));
    CHECK(d.generation.do_sample);
    CHECK(d.generation.temperature == 0.6);
    CHECK(d.generation.top_p == 0.9);
    CHECK(d.generation.stop_ids == std::vector<std::int32_t>{9, 16, 17});
    CHECK(d.generation.bos == 8);
    CHECK(d.pictures.tile == 14);
    CHECK(d.pictures.mean[0] == 0.48145466);
    CHECK(d.tokenizer_model == folder.path() / "tokenizer.model");
    CHECK(d.chat.text.empty());
    CHECK(d.weights.files.size() == 1);
}

TEST_CASE("the places where Meta's files lie") {
    temporary_folder const folder;
    fs::create_directories(folder.path() / "original");
    fs::copy(data / "1", folder.path() / "original");
    folder.write("tokenizer.json", "{}");
    for (fs::path const& path : {folder.path(), folder.path() / "original", folder.path() / "original" / "",
                                 folder.path() / "original/consolidated.pth"}) {
        CAPTURE(path);
        auto const d = read_description(path);
        CHECK(d.form == kind::meta);
        CHECK(d.model->values.text.width == 16);
        CHECK(d.weights.files.size() == 1);
        CHECK(is_there(d.tokenizer_json));
    }
    fs::rename(folder.path() / "original/consolidated.pth", folder.path() / "original/consolidated.00.pth");
    CHECK(open(folder.path()).tensors.tensors.size() > 60);
    fs::rename(folder.path() / "original/consolidated.00.pth", folder.path() / "original/mine.pth");
    CHECK(open(folder.path() / "original/mine.pth").tensors.tensors.size() > 60);
    CHECK(contains(fault<file_error>(folder.path()), "holds no consolidated.pth nor consolidated.00.pth"));
    folder.write("config.json", "{}");
    CHECK(recognise(folder.path()) == kind::hugging_face);
    fs::rename(folder.path() / "original/mine.pth", folder.path() / "original/consolidated.00.pth");
    CHECK(recognise(folder.path()) == kind::meta); // a download without Hugging Face's weights
    CHECK(contains(fault<file_error>(data / "1" / "none.pth"), "no such file"));
}

TEST_CASE("files that are missing or too many") {
    temporary_folder const folder;
    fs::copy(data / "8", folder.path());
    fs::remove(folder.path() / "consolidated.03.pth");
    fs::remove(folder.path() / "consolidated.05.pth");
    CHECK(contains(fault<file_error>(folder.path()),
                   "holds consolidated.07.pth, but not consolidated.03.pth, consolidated.05.pth"));
    auto const found = open(folder.path(), {}, faults::collected);
    CHECK(found.problems.size() == 1);
    CHECK(found.model);
    CHECK(found.tensors.tensors.empty());
    folder.write("consolidated.0001.pth", "");
    CHECK(contains(fault<file_error>(folder.path()), "holds two files numbered 1"));
    fs::remove(folder.path() / "consolidated.0001.pth");
    folder.write("consolidated.pth", "");
    CHECK(contains(fault<file_error>(folder.path()), "holds both consolidated.pth and consolidated.00.pth"));
    fs::remove(folder.path() / "consolidated.pth");
    fs::remove(folder.path() / "params.json");
    CHECK(contains(fault<file_error>(folder.path()), "params.json: no such file"));
}

TEST_CASE("the first of several files, taken for all") {
    meta_folder const folder;
    folder.change([](auto& tensors) {
        named_tensors whole;
        whole.tensors = tensors;
        tensors = shard_of(whole, 0, 8).tensors;
        for (auto& [name, value] : tensors)
            if (value.make) value = whole.tensors.at(name); // not needed here
    });
    CHECK(contains(fault<mismatch_error>(folder.path()), "vocab_size makes 264 rows, but text_model.tok_embeddings"));
    auto const file = text_of_file(folder.path() / "consolidated.pth");
    fs::remove(folder.path() / "consolidated.pth");
    folder.write("consolidated.00.pth", file);
    folder.write("consolidated.01.pth", file);
    CHECK(contains(fault<mismatch_error>(folder.path()), "files are missing: vocab_size makes 264 rows, but"));
}

TEST_CASE("params.json is held against the tensors") {
    meta_folder const folder;
    auto const with = [&](std::string const& key, std::string const& value, std::string const& old) {
        folder.state(key, value);
        auto const message = fault<mismatch_error>(folder.path());
        folder.state(key, old);
        return message;
    };
    CHECK(fault(folder.path()) == "nothing was thrown");
    CHECK(contains(with("vocab_size", "272", "264"),
                   "params.json contradicts the tensors: vocab_size makes 272 rows, but "
                   "text_model.tok_embeddings.weight is [264, 16]"));
    CHECK(contains(with("dim", "32", "16"), "dim makes 32 columns, but text_model.tok_embeddings.weight is [264, 16]"));
    CHECK(
        contains(with("multiple_of", "256", "16"),
                 "multiple_of and ffn_dim_multiplier make 256 rows, but text_model.layers.0.feed_forward.w1.weight is "
                 "[48, 16]"));
    CHECK(contains(with("n_kv_heads", "4", "8"), "n_kv_heads makes 8 rows"));
    CHECK(contains(with("n_layers", "3", "2"), "n_layers is 3, but there are tensors of 2 such layers"));
    CHECK(contains(with("vision_num_cross_attention_layers", "2", "1"),
                   "vision_num_cross_attention_layers is 2, but there are tensors of 1 such layers"));
    CHECK(contains(with("vision_chunk_size", "28", "14"),
                   "vision_chunk_size makes 17 rows, but vision_model.vision_encoder.positional_embedding is [5, 16]"));
    CHECK(contains(with("vision_chunk_size", "15", "14"), "7 does not divide vision_chunk_size 15"));
    CHECK(contains(with("vision_max_num_chunks", "3", "4"), "not one cell for each of 3 by 3 tiles"));

    folder.write("params.json", "{}");
    CHECK(contains(fault<format_error>(folder.path()), "the key \"dim\" is missing"));
    auto const found = open(folder.path(), {}, faults::collected);
    CHECK(found.problems.size() == 1);
    CHECK(found.weights.files.size() == 1);
}

TEST_CASE("hostile weights") {
    meta_folder const folder;
    auto const with = [&](auto const& change) {
        folder.change(change);
        return fault(folder.path());
    };
    using map = std::map<std::string, tensor, std::less<>>;
    CHECK(with([](map&) {}) == "nothing was thrown");
    CHECK(contains(with([](map& t) { t.at("text_model.layers.0.attention.wq.weight").shape = {256}; }),
                   "text_model.layers.0.attention.wq.weight: has the shape [256], which holds no heads of 2 rows"));
    CHECK(contains(with([](map& t) {
                       t.at("vision_model.vision_encoder.conv1._linear.weight").shape = {147, 16};
                   }),
                   "takes 16 values, which are no square patch of 3 channels"));
    CHECK(contains(with([](map& t) { t.at("vision_model.vision_encoder.pre_tile_pos_embed.embedding").shape = {256}; }),
                   "not one cell for each of 4 by 4 tiles"));
    CHECK(contains(with([](map& t) {
                       t.at("text_model.learnable_embedding.weight").shape = {16, 8};
                   }),
                   "do not fit together"));
    CHECK(contains(with([](map& t) {
                       t.at("vision_model.vision_encoder.class_embedding").shape = {4, 4};
                   }),
                   "does not make"));

    auto const whole = text_of_file(data / "1" / "consolidated.pth");
    folder.write("consolidated.pth", whole.substr(0, whole.size() / 2));
    CHECK(contains(fault<format_error>(folder.path()), "consolidated.pth: not a zip archive, or cut off"));
    auto const found = open(folder.path(), {}, faults::collected);
    CHECK(found.problems.size() == 1);
    CHECK(found.model->values.text.width == 16);
    folder.write("consolidated.pth", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    CHECK(contains(fault<format_error>(folder.path()), "this is a Git LFS pointer"));
}
