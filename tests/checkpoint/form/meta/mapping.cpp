// SPDX-License-Identifier: Apache-2.0
// From Hugging Face's form to Meta's and back, in one file and in several.
#include <llamavision/checkpoint/container/pth.hpp>
#include <llamavision/checkpoint/form/meta/mapping.hpp>
#include <llamavision/checkpoint/form/meta/shards.hpp>
#include <llamavision/checkpoint/open.hpp>

#include "../../../support/message.hpp"

#include <algorithm>
#include <cstddef>
#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

opened golden(std::string const& name) { return open(LLAMAVISION_TEST_DATA "/golden/" + name + "/hf"); }

std::vector<std::byte> content(tensor const& t) {
    std::vector<std::byte> room;
    auto const bytes = bytes_of(t, room);
    return {bytes.begin(), bytes.end()};
}

/// The names of tensors that differ.
std::vector<std::string> differences(named_tensors const& a, named_tensors const& b) {
    std::vector<std::string> result;
    for (auto const& [name, value] : a.tensors) {
        auto const other = b.tensors.find(name);
        if (other == b.tensors.end() || other->second.type != value.type || other->second.shape != value.shape
            || content(other->second) != content(value))
            result.push_back(name);
    }
    for (auto const& [name, value] : b.tensors)
        if (!a.tensors.contains(name)) result.push_back(name);
    return result;
}

named_tensors merged(named_tensors const& whole, std::size_t count) {
    std::vector<meta_shard> shards;
    for (std::size_t i = 0; i < count; ++i) shards.push_back({std::to_string(i), shard_of(whole, i, count)});
    return merge_shards(std::move(shards));
}

tensor of_bytes(std::vector<std::byte> const& bytes, std::vector<std::size_t> shape) {
    return {dtype::i8, std::move(shape), bytes, {}};
}

std::vector<std::byte> numbered(std::size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i);
    return bytes;
}

} // namespace

TEST_CASE("Hugging Face to Meta and back gives every tensor again, through any number of files") {
    for (std::string const name : {"p1", "g1"}) {
        auto const file = golden(name);
        auto const& n = file.model->values;
        auto const meta = hugging_face_to_meta(file.tensors, n);
        CHECK(meta.tensors.size() == file.tensors.tensors.size() + 1); // learnable_embedding
        CHECK(differences(meta_to_hugging_face(meta, n), file.tensors).empty());
        auto const two = merged(meta, name == "p1" ? 2 : 1);
        CHECK(differences(two, meta).empty());
        CHECK(differences(meta_to_hugging_face(two, n), file.tensors).empty());
    }
}

TEST_CASE("what keeps its layout stays a view") {
    auto const file = golden("p1");
    auto const meta = hugging_face_to_meta(file.tensors, file.model->values);
    for (auto const& entry : meta.tensors) {
        std::string const& name = entry.first;
        bool const turned =
            name.starts_with("text_model.layers.") && (name.ends_with("wq.weight") || name.ends_with("wk.weight"));
        bool const table = name.ends_with("pos_embed.embedding") || name.ends_with("gated_positional_embedding");
        CHECK_MESSAGE(bool(entry.second.make) == (turned || table), name);
    }
}

TEST_CASE("layers are counted apart at Meta's, together at Hugging Face's") {
    config::text_numbers text;
    text.layers = 8;
    text.cross_layers = {2, 6};
    auto const there = [&](std::string const& name) {
        auto const entry = find_meta_tensor(name);
        return entry ? hugging_face_name(*entry, text).value_or("no layer") : "no tensor";
    };
    CHECK(there("text_model.layers.1.ffn_norm.weight")
          == "language_model.model.layers.1.post_attention_layernorm.weight");
    CHECK(there("text_model.layers.2.attention.wq.weight") == "language_model.model.layers.3.self_attn.q_proj.weight");
    CHECK(there("text_model.layers.5.attention.wq.weight") == "language_model.model.layers.7.self_attn.q_proj.weight");
    CHECK(there("text_model.cross_attention_layers.1.gate_ffwd")
          == "language_model.model.layers.6.cross_attn_mlp_gate");
    CHECK(there("text_model.cross_attention_layers.2.gate_ffwd") == "no layer");
    CHECK(there("vision_model.vision_encoder.global_transformer.resblocks.7.mlp.c_fc.bias")
          == "vision_model.global_transformer.layers.7.mlp.fc1.bias");
    CHECK(there("vision_model.vision_encoder.conv1._linear.weight") == "vision_model.patch_embedding.weight");
    CHECK(there("vision_model.vision_projection.bias") == "multi_modal_projector.bias");
    CHECK(there("text_model.output.weight") == "language_model.lm_head.weight");
    for (std::string const name : {"text_model.layers.01.ffn_norm.weight", "text_model.layers..ffn_norm.weight",
                                   "text_model.layers.x.ffn_norm.weight", "text_model.layers.1", "text_model.",
                                   "text_model.layers.99999999999999999999.ffn_norm.weight", ""})
        CHECK_MESSAGE(there(name) == "no tensor", name);

    auto const back = [&](std::string const& name) {
        auto const entry = find_meta_tensor_of(name, text);
        return entry ? meta_name(*entry) : "no tensor";
    };
    CHECK(back("language_model.model.layers.6.input_layernorm.weight")
          == "text_model.cross_attention_layers.1.attention_norm.weight");
    CHECK(back("language_model.model.layers.7.input_layernorm.weight") == "text_model.layers.5.attention_norm.weight");
    CHECK(back("language_model.model.layers.6.self_attn.q_proj.weight") == "no tensor");
    CHECK(back("language_model.model.layers.5.cross_attn_attn_gate") == "no tensor");
    CHECK(back("language_model.") == "no tensor");
}

TEST_CASE("rotary rows") {
    auto const bytes = numbered(8);
    auto const meta = checkpoint::detail::with_rotary_rows(of_bytes(bytes, {8, 1}), 4, true, "x");
    CHECK(content(meta)
          == std::vector{std::byte{0}, std::byte{2}, std::byte{1}, std::byte{3}, std::byte{4}, std::byte{6},
                         std::byte{5}, std::byte{7}});
    CHECK(content(checkpoint::detail::with_rotary_rows(meta, 4, false, "x")) == bytes);
    CHECK(contains(message_of<mismatch_error>([&] {
                       return checkpoint::detail::with_rotary_rows(of_bytes(bytes, {8, 1}), 6, true, "x");
                   }),
                   "x: has the shape [8, 1], which holds no heads of 6 rows"));
}

TEST_CASE("slices and joins") {
    auto const bytes = numbered(24);
    tensor const whole = of_bytes(bytes, {4, 6});
    for (std::size_t const axis : {std::size_t{0}, std::size_t{1}}) {
        std::size_t const half = whole.shape[axis] / 2;
        tensor const joined = join({slice(whole, axis, 0, half), slice(whole, axis, half, half)}, axis, "x");
        CHECK(joined.shape == whole.shape);
        CHECK(content(joined) == bytes);
        tensor const again = slice(joined, axis, half, half); // a slice of a tensor that has to be made
        CHECK(content(again) == content(slice(whole, axis, half, half)));
    }
    CHECK(content(slice(whole, 1, 2, 1)) == std::vector{std::byte{2}, std::byte{8}, std::byte{14}, std::byte{20}});
    CHECK(contains(message_of<mismatch_error>([&] {
                       return join({whole, of_bytes(bytes, {6, 4})}, 0, "x");
                   }),
                   "x: the parts I8 [4, 6] and I8 [6, 4] do not fit together"));
    CHECK(contains(message_of<mismatch_error>([&] {
                       return join({whole, of_bytes(bytes, {24})}, 0, "x");
                   }),
                   "do not fit together"));
    CHECK(contains(message_of<mismatch_error>([&] {
                       return join({of_bytes(bytes, {24}), of_bytes(bytes, {24})}, 1, "x");
                   }),
                   "x: has the shape [24], so its parts cannot be joined"));
}

TEST_CASE("files of different models are not merged") {
    auto const file = golden("p1");
    auto const meta = hugging_face_to_meta(file.tensors, file.model->values);
    auto const fault = [&](auto const& change) {
        std::vector<meta_shard> shards{{"a.pth", shard_of(meta, 0, 2)}, {"b.pth", shard_of(meta, 1, 2)}};
        change(shards[1].content.tensors);
        return message_of<mismatch_error>([&] { return merge_shards(shards); });
    };
    std::string const norm = "text_model.norm.weight";
    std::vector<std::byte> const zeros(128);
    CHECK(fault([](auto&) {}) == "nothing was thrown");
    CHECK(contains(fault([&](auto& t) { t.at(norm).bytes = zeros; }),
                   "b.pth: the tensor \"text_model.norm.weight\" is not that of a.pth"));
    CHECK(contains(fault([&](auto& t) { t.at(norm).shape = {63}; }), "is not that of a.pth"));
    CHECK(contains(fault([&](auto& t) { t.erase(norm); }), "b.pth: lacks the tensor \"text_model.norm.weight\""));
    CHECK(contains(fault([&](auto& t) { t["more"] = t.at(norm); }),
                   "b.pth: holds the tensor \"more\", which a.pth lacks"));
    CHECK(contains(fault([&](auto& t) {
                       t.at("text_model.output.weight").shape = {128, 128};
                   }),
                   "a.pth: text_model.output.weight: the parts"));
    CHECK(
        contains(message_of<mismatch_error>([&] { return shard_of(meta, 0, 7); }), "cannot be divided among 7 files"));
}

TEST_CASE("what Meta's form cannot say is refused") {
    auto const ids = golden("g1_ids");
    CHECK(contains(message_of<mismatch_error>([&] { return hugging_face_to_meta(ids.tensors, ids.model->values); }),
                   "gated_positional_embedding.tile_embedding.weight: holds values for the padded tiles of the "
                   "arrangement (1, 1), which Meta's form cannot express"));
    auto file = golden("g1");
    auto const& n = file.model->values;
    auto const with = [&](std::string const& name, tensor const& value) {
        auto changed = file.tensors;
        changed.tensors[name] = value;
        return message_of<mismatch_error>([&] { return hugging_face_to_meta(changed, n); });
    };
    std::string const table = "vision_model.pre_tile_positional_embedding.embedding.weight";
    tensor const old = file.tensors.tensors.at(table);
    auto bytes = content(old);
    std::size_t const cell = bytes.size() / 9 / 4;
    bytes[(2 * 4) * cell] ^= std::byte{1}; // tile (0, 0) of (1, 2), which must equal that of (1, 1)
    CHECK(contains(with(table, {old.type, old.shape, bytes, {}}),
                   "holds a vector of its own for the tile 0 of the arrangement (1, 2)"));
    CHECK(contains(with(table, {old.type, {old.shape[1], old.shape[0]}, old.bytes, {}}), "not a row for each"));
    CHECK(contains(with("lm_head.bias", old), "Meta's form has no place for \"lm_head.bias\""));
    tensor const embedding = file.tensors.tensors.at("language_model.model.embed_tokens.weight");
    CHECK(contains(with("language_model.model.embed_tokens.weight", slice(embedding, 0, 0, 300)),
                   "not more rows than the 300 of the vocabulary"));
    CHECK(contains(with("vision_model.patch_embedding.weight", old), "which does not make [24, 588]"));
}

TEST_CASE("cells that no arrangement has are kept apart, and put back") {
    auto const meta = read_pth(LLAMAVISION_TEST_DATA "/meta/1/consolidated.pth");
    auto const there = open(LLAMAVISION_TEST_DATA "/meta/1");
    auto const& n = there.model->values;
    CHECK(there.spare.tensors.size() == 3);
    for (auto const& [name, value] : there.spare.tensors) CHECK(value.shape[0] == 8);
    CHECK(differences(hugging_face_to_meta(there.tensors, n, there.spare), meta)
          == std::vector<std::string>{"text_model.rope.freqs"});
    auto const without = differences(hugging_face_to_meta(there.tensors, n), meta);
    CHECK(without.size() == 4); // the cells of the tables are zero
    auto wrong = there.spare;
    wrong.tensors.begin()->second.shape[0] = 7;
    CHECK(contains(message_of<mismatch_error>([&] { return hugging_face_to_meta(there.tensors, n, wrong); }),
                   "the spare cells are BF16 [7, "));
}

TEST_CASE("strange tensors of Meta's form stay for whoever binds them") {
    auto const file = golden("g1");
    auto const& n = file.model->values;
    auto meta = hugging_face_to_meta(file.tensors, n);
    tensor const some = meta.tensors.at("text_model.norm.weight");
    meta.tensors["text_model.rope.freqs"] = some;
    CHECK(differences(meta_to_hugging_face(meta, n), file.tensors).empty());
    meta.tensors["text_model.cross_attention_layers.7.gate_attn"] = some;
    meta.tensors["optimizer"] = some;
    meta.tensors.erase("text_model.learnable_embedding.weight");
    CHECK(differences(meta_to_hugging_face(meta, n), file.tensors)
          == std::vector<std::string>{"language_model.model.embed_tokens.weight", "optimizer",
                                      "text_model.cross_attention_layers.7.gate_attn"});
    meta.tensors["vision_model.vision_encoder.pre_tile_pos_embed.embedding"] = some;
    CHECK(contains(message_of<mismatch_error>([&] { return meta_to_hugging_face(meta, n); }),
                   "not one cell for each of 4 by 4 tiles"));
}
