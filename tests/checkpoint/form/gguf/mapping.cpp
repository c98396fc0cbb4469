// SPDX-License-Identifier: Apache-2.0
// All dialects, in both directions, compared with files that the Python package gguf wrote (gguf_files.py).
#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/checkpoint/form/gguf/mapping.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/support/sha256.hpp>

#include "../../../support/message.hpp"
#include "../../temporary_folder.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::filesystem::path const data = LLAMAVISION_TEST_DATA "/checkpoint/gguf";

std::vector<std::byte> bytes_in(tensor const& t) {
    std::vector<std::byte> room;
    auto const bytes = bytes_of(t, room);
    return {bytes.begin(), bytes.end()};
}

opened const& reference() {
    static opened const read = open(data / "hf");
    return read;
}

/// Checks that `is` has the reference's tensors, converted to the type that each has in `is`.
void check_tensors(named_tensors const& is) {
    CHECK(is.tensors.size() == reference().tensors.tensors.size());
    for (auto const& [name, expected] : reference().tensors.tensors) {
        std::string const at = name;
        CAPTURE(at);
        REQUIRE(is.tensors.contains(name));
        tensor const& found = is.tensors.at(name);
        CHECK(found.shape == expected.shape);
        CHECK(bytes_in(found) == bytes_in(retyped(expected, found.type)));
    }
}

void check_dtypes(named_tensors const& is, dtype matrices) {
    for (auto const& [name, t] : is.tensors)
        if (t.shape.size() > 1 && name.find("position") == std::string::npos) CHECK(t.type == matrices);
}

/// The tensors after writing them in `dialect` and reading the file.
named_tensors there_and_back(named_tensors const& source, gguf_dialect dialect) {
    temporary_folder const folder;
    auto const path = folder.path() / "x.gguf";
    write_gguf(path, hugging_face_to_gguf(source, *reference().model, dialect));
    auto const content = open_gguf(path);
    return gguf_to_hugging_face(content, nullptr, read_gguf_config(content, nullptr, "x").values, dialect, "x");
}

constexpr gguf_dialect every_dialect[] = {gguf_dialect::llamavision, gguf_dialect::ollama, gguf_dialect::ollama_0_7_0,
                                          gguf_dialect::pair, gguf_dialect::pair_permuted};

} // namespace

TEST_CASE("ollama's one file is Hugging Face's model") {
    auto const read = open(data / "ollama.gguf");
    CHECK(read.form == kind::gguf);
    CHECK(read.dialect == "ollama");
    CHECK(read.problems.empty());
    REQUIRE(read.warnings.size() == 1);
    CHECK(contains(read.warnings.front(), "read it in the dialect ollama-0.7.0"));
    CHECK(open(data / "ollama.gguf", {}, faults::thrown, gguf_dialect::ollama).warnings.empty());
    CHECK(read.model->values == reference().model->values);
    CHECK(read.model->image_token == 512);
    CHECK(read.generation.stop_ids == std::vector<std::int32_t>{257, 264, 265});
    CHECK(read.generation.bos == 256);
    CHECK_FALSE(read.generation.do_sample);
    CHECK(read.pictures.tile == 28);
    CHECK(read.pictures.mean[0] == 0.48145466);
    CHECK(read.tokenizer.tokens.size() == 513);
    CHECK(read.tokenizer.types[256] == 3);
    check_tensors(read.tensors);
    check_dtypes(read.tensors, dtype::bf16);
}

TEST_CASE("model and projector are Hugging Face's model, once they say how their rows lie") {
    CHECK(contains(message_of<mismatch_error>([&] { return open(data / "pair"); }),
                   "name the dialect, pair (they are not) or pair-permuted (they are)"));
    auto const read = open(data / "pair", {}, faults::thrown, gguf_dialect::pair);
    CHECK(read.dialect == "pair");
    CHECK(read.weights.files.size() == 2);
    CHECK(read.model->values == reference().model->values);
    check_tensors(read.tensors);
    check_dtypes(read.tensors, dtype::f16);
    auto const other = open(data / "pair", {}, faults::thrown, gguf_dialect::pair_permuted);
    std::string const cross = "language_model.model.layers.1.cross_attn.";
    for (auto const& [name, t] : other.tensors.tensors) {
        std::string const at = name;
        CHECK_MESSAGE((bytes_in(t) != bytes_in(read.tensors.tensors.at(name)))
                          == (name == cross + "q_proj.weight" || name == cross + "k_proj.weight"),
                      at);
    }
}

TEST_CASE("what this library writes as ollama is what gguf-py wrote") {
    auto const written = hugging_face_to_gguf(reference().tensors, *reference().model, gguf_dialect::ollama);
    auto const expected = open_gguf(data / "ollama.gguf");
    CHECK(written.tensors.size() == expected.content.tensors.size());
    for (auto const& [name, t] : written.tensors) {
        std::string const at = name;
        CAPTURE(at);
        REQUIRE(expected.content.tensors.contains(name));
        tensor const& other = expected.content.tensors.at(name);
        CHECK(t.type == other.type);
        CHECK(t.shape == other.shape);
        auto const is = bytes_in(t), wanted = bytes_in(other);
        REQUIRE(is.size() == wanted.size());
        if (t.type != dtype::f32) {
            CHECK(is == wanted);
            continue;
        }
        for (std::size_t i = 0; i < is.size() / 4; ++i) // numpy's tanh is not exactly that of the C library
            CHECK(checkpoint::detail::element<float>(is.data(), i)
                  == doctest::Approx(checkpoint::detail::element<float>(wanted.data(), i)).epsilon(1e-6));
    }
    for (auto const& [key, value] : written.keys) {
        std::string const at = key;
        CAPTURE(at);
        CHECK(expected.find(key));
    }
}

TEST_CASE("every dialect there and back, without a loss") {
    for (auto const dialect : every_dialect) {
        CAPTURE(name_of(dialect));
        CHECK(gguf_dialect_of(name_of(dialect)) == dialect);
        check_tensors(there_and_back(reference().tensors, dialect));
    }
    CHECK_FALSE(gguf_dialect_of("ollama2"));
}

TEST_CASE("blocks of every type keep their bytes when rows are put back, and widen to gguf-py's values") {
    auto const content = open_gguf(data / "blocks.gguf");
    config::numbers n = reference().model->values;
    n.text.width = 8;
    n.text.heads = 2;
    auto all = gguf_to_hugging_face(content, nullptr, n, gguf_dialect::ollama, "blocks.gguf");
    auto const hashes = nlohmann::json::parse(text_of_file(data / "blocks.gguf.json"));
    REQUIRE(hashes.size() == 8);
    for (auto const& [name, hash] : hashes.items()) {
        std::string const at = name;
        CAPTURE(at);
        tensor const& stored = all.tensors.at(name);
        CHECK(is_block_type(stored.type));
        auto const values = bytes_in(retyped(stored, dtype::f32));
        CHECK(sha256_hex(values) == hash.get<std::string>());
        auto const halves = bytes_in(retyped(stored, dtype::f16)), brain = bytes_in(retyped(stored, dtype::bf16));
        for (std::size_t i = 0; i < values.size() / 4; ++i) {
            float const value = checkpoint::detail::element<float>(values.data(), i);
            CHECK(std::abs(checkpoint::detail::element<f16>(halves.data(), i) - value)
                  <= std::abs(value) * 0x1p-11f + 0x1p-24f);
            CHECK(std::abs(checkpoint::detail::element<bf16>(brain.data(), i) - value) <= std::abs(value) * 0x1p-8f);
        }
    }
    widen_blocks(all, dtype::f16);
    for (auto const& [name, t] : all.tensors)
        CHECK((t.type == dtype::f16 || t.type == dtype::q8_0 || t.type == dtype::q4_0));
}

TEST_CASE("gates come back from tanh to the bit if they were bfloat16") {
    for (unsigned bits = 0; bits < 0x10000; bits += 7) {
        auto const g = static_cast<float>(bf16{static_cast<std::uint16_t>(bits)});
        if (!(std::abs(g) < 5) || std::abs(g) < 1e-30f) continue;
        auto const t = static_cast<float>(std::tanh(static_cast<double>(g)));
        CAPTURE(g);
        CHECK(checkpoint::detail::raw_gate(t, 1 - static_cast<double>(t)) == g);
        CHECK(checkpoint::detail::raw_gate(t, static_cast<double>(1 - t)) == g); // the rest as a float
    }
    for (float const g : {-3.3f, -0.1f, 1e-4f, 0.30001f,
                          2.7f}) { // numbers that are not bfloat16: to the precision of the inverse of tanh
        auto const t = static_cast<float>(std::tanh(static_cast<double>(g)));
        auto const back = checkpoint::detail::raw_gate(t, 1 - static_cast<double>(t));
        CHECK(static_cast<float>(std::tanh(static_cast<double>(back))) == doctest::Approx(t).epsilon(1e-6));
    }
    CHECK(checkpoint::detail::raw_gate(1.0f, 0.0) == 10.0f);
    CHECK(checkpoint::detail::raw_gate(-1.0f, 2.0) == -10.0f);
    CHECK(std::isfinite(checkpoint::detail::raw_gate(0.0f, 1.0)));
}

TEST_CASE("gates that are none are refused") {
    auto const read = [](auto const& change) {
        auto content = open_gguf(data / "ollama.gguf");
        change(content.content.tensors);
        return message_of<mismatch_error>([&] {
            return gguf_to_hugging_face(content, nullptr, reference().model->values, gguf_dialect::ollama, "x.gguf");
        });
    };
    CHECK(contains(read([](auto& t) { t.at("v.global.blk.0.attn_gate") = checkpoint::detail::gate_tensor(1.5f); }),
                   "\"v.global.blk.0.attn_gate\" is 1.5"));
    CHECK(contains(read([](auto& t) { t.at("v.global.blk.0.ffn_gate") = checkpoint::detail::gate_tensor(-1.5f); }),
                   "read it in the dialect ollama-0.7.0"));
    CHECK(contains(read([](auto& t) { t.at("v.position_embd.gate") = checkpoint::detail::gate_tensor(0.5f); }),
                   "which is not 1 less the tiles' gate"));
    CHECK(contains(read([](auto& t) { t.erase("v.tile_position_embd.gate"); }),
                   "v.tile_position_embd.gate\" is missing"));
    CHECK(contains(read([](auto& t) { t.at("v.pre_tile_position_embd.gate") = t.at("v.class_embd"); }),
                   "is a gate, but not one number"));
    float const nan = std::numeric_limits<float>::quiet_NaN();
    CHECK(contains(read([&](auto& t) { t.at("v.pre_tile_position_embd.gate") = checkpoint::detail::gate_tensor(nan); }),
                   "not finite"));
    CHECK(contains(read([](auto& t) { t.at("blk.0.attn_q.weight").shape = {256}; }), "holds no heads of 4 rows"));
}

TEST_CASE("names in both directions") {
    for (bool const projector : {false, true})
        for (auto const& [name, t] : reference().tensors.tensors) {
            auto const there = gguf_name_of_hugging_face(name, projector);
            std::string const at = name;
            CAPTURE(at);
            REQUIRE(there);
            CHECK(hugging_face_name_of_gguf(*there, projector) == name);
        }
    CHECK(gguf_name_of_hugging_face("vision_model.transformer.layers.31.mlp.fc1.bias") == "v.blk.31.ffn_up.bias");
    CHECK(gguf_name_of_hugging_face("vision_model.transformer.layers.31.mlp.fc1.bias", true)
          == "v.blk.31.ffn_down.bias");
    for (auto const* const strange : {"rope_freqs.weight", "blk.x.attn_q.weight", "blk..attn_q.weight", "blk.3", "blk.",
                                      "blk.3.", "blk.3.attn_q", "v.blk.0.ln1.weight", "", "output"})
        CHECK_FALSE(hugging_face_name_of_gguf(strange));
    named_tensors strange;
    strange.tensors["extra"] = reference().tensors.tensors.begin()->second;
    CHECK(contains(message_of<mismatch_error>(
                       [&] { return hugging_face_to_gguf(strange, *reference().model, gguf_dialect::ollama); }),
                   "\"extra\" has no name in GGUF files"));
}
