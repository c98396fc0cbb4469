// SPDX-License-Identifier: Apache-2.0
// Text models in Meta's form: params.json, names without a prefix, rows in rotary pairs, a head that is stored twice.
#include <llamavision/checkpoint/container/pth.hpp>
#include <llamavision/checkpoint/form/meta/mapping.hpp>
#include <llamavision/checkpoint/form/meta/params.hpp>
#include <llamavision/checkpoint/form/meta/shards.hpp>
#include <llamavision/checkpoint/write/params.hpp>
#include <llamavision/checkpoint/write/pth.hpp>
#include <llamavision/config/differences.hpp>

#include "../text_models.hpp"

#include <functional>

using namespace llamavision;
using namespace llamavision::checkpoint;
using namespace text_models;
using nlohmann::json;

namespace {

json const llama_3_1_8b = json::parse(R"({"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8,
    "vocab_size": 128256, "ffn_dim_multiplier": 1.3, "multiple_of": 1024, "norm_eps": 1e-05, "rope_theta": 500000.0,
    "use_scaled_rope": true})");

void write_shard(std::filesystem::path const& path, named_tensors const& part) {
    std::vector<tensor_to_write> list;
    std::vector<std::vector<std::byte>> bytes;
    bytes.reserve(part.tensors.size());
    for (auto const& [name, value] : part.tensors) {
        bytes.push_back(content(value));
        list.push_back({name, value.type, value.shape, bytes.back(), {}});
    }
    write_pth(path, list);
}

/// Writes a golden model in Meta's form, in so many files, after a change.
template <class C>
void write_meta(
    temporary_folder const& folder, std::size_t files = 1,
    std::function<void(named_tensors&)> const& change = [](named_tensors&) {}) {
    auto const& source = reference<C>();
    folder.write("params.json", params_text(source.model->values));
    auto whole = hugging_face_to_meta(source.tensors, source.model->values);
    change(whole);
    for (std::size_t i = 0; i < files; ++i)
        write_shard(folder.path() / ("consolidated.0" + std::to_string(i) + ".pth"), shard_of(whole, i, files));
}

} // namespace

TEST_CASE("params.json of Llama 3.1 8B and Llama 3.2 1B") {
    auto const large = read_params(llama_3_1_8b, "params.json");
    CHECK(large.values.kind == config::family::llama);
    CHECK(large.text_alone);
    CHECK(large.values.vision == config::vision_numbers{});
    auto const& t = large.values.text;
    CHECK(t.width == 4096);
    CHECK(t.mlp == 14336);
    CHECK(t.layers == 32);
    CHECK(t.cross_layers.empty());
    CHECK(t.rope == config::rope_numbers{});
    CHECK(large.stop_ids == std::vector<std::int32_t>{128001, 128008, 128009});
    CHECK(large.unstated == std::vector<std::string>{"text.context", "text.rope.factor"});
    CHECK(large.warnings.empty());

    auto document = json::parse(R"({"dim": 2048, "ffn_dim_multiplier": 1.5, "multiple_of": 256, "n_heads": 32,
        "n_kv_heads": 8, "n_layers": 16, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": true,
        "vocab_size": 128256, "vision_num_cross_attention_layers": -1, "vision_chunk_size": -1})");
    auto const small = read_params(document, "params.json");
    CHECK(small.values.kind == config::family::llama);
    CHECK(small.values.text.mlp == 8192);
    CHECK(small.values.text.rope.factor == 32.0); // as its config.json says, not as Meta's code has it
    CHECK(small.warnings.empty());

    document["n_layers"] = 17;
    auto const other = read_params(document, "params.json");
    CHECK(other.values.text.rope.factor == 8.0);
    REQUIRE(other.warnings.size() == 1);
    CHECK(contains(other.warnings.front(), "by what factor the rotary frequencies are scaled"));
    document["use_scaled_rope"] = false;
    CHECK(read_params(document, "params.json").warnings.empty());
}

TEST_CASE("a params.json of a text model that contradicts itself is refused in its own words") {
    auto const refused = [](char const* key, json const& value) {
        auto document = llama_3_1_8b;
        document[key] = value;
        return message_of<error>([&] { return read_params(document, "params.json"); });
    };
    CHECK(contains(refused("n_heads", 24), "n_heads 24 does not divide dim 4096"));
    CHECK(contains(refused("n_kv_heads", 5), "n_kv_heads 5 does not divide n_heads 32"));
    CHECK(contains(refused("n_heads", 4096), "dim 4096 over n_heads 4096 is an odd head width"));
    CHECK(contains(refused("vision_chunk_size", 560), "but no cross-attention layers"));
    CHECK(contains(refused("quantization_args", json::object()), "quantised or adapted weights"));
    CHECK(contains(refused("dim", 0), "dim: expected a positive integer, found 0"));
}

TEST_CASE_TEMPLATE("a text model in Meta's form has the numbers and tensors of Hugging Face's", C, tied, untied) {
    auto const& wanted = reference<C>();
    for (std::size_t const files : {1u, 2u}) {
        if (files == 2 && C::text::kv_heads % 2 != 0) continue; // a head cannot be divided
        CAPTURE(files);
        temporary_folder const folder;
        write_meta<C>(folder, files);
        auto const read = open(folder.path());
        CHECK(read.form == kind::meta);
        CHECK(config::differences(read.model->values, config::numbers_of<C>(), read.model->unstated).empty());
        CHECK(read.model->values.text.tied_head == C::text::tied_head);
        check_same(read.tensors, wanted.tensors);
    }

    // The file itself: Meta's names, rows in rotary pairs, and a head, whether it is tied or not.
    temporary_folder const folder;
    write_meta<C>(folder);
    auto const file = read_pth(folder.path() / "consolidated.00.pth");
    CHECK(file.tensors.size() == 3 + 9 * C::text::layers);
    auto const ours = [&](char const* name) { return wanted.tensors.tensors.at(name); };
    std::size_t const head = C::text::width / C::text::heads;
    CHECK(are_rotary_pairs(file.tensors.at("layers.1.attention.wq.weight"),
                           ours("model.layers.1.self_attn.q_proj.weight"), head));
    CHECK(are_rotary_pairs(file.tensors.at("layers.0.attention.wk.weight"),
                           ours("model.layers.0.self_attn.k_proj.weight"), head));
    for (auto const& [meta, name] :
         {std::pair("layers.1.attention.wv.weight", "model.layers.1.self_attn.v_proj.weight"),
          {"layers.1.attention.wo.weight", "model.layers.1.self_attn.o_proj.weight"},
          {"layers.1.feed_forward.w1.weight", "model.layers.1.mlp.gate_proj.weight"},
          {"layers.1.feed_forward.w2.weight", "model.layers.1.mlp.down_proj.weight"},
          {"layers.1.feed_forward.w3.weight", "model.layers.1.mlp.up_proj.weight"},
          {"layers.1.attention_norm.weight", "model.layers.1.input_layernorm.weight"},
          {"layers.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"},
          {"tok_embeddings.weight", "model.embed_tokens.weight"},
          {"norm.weight", "model.norm.weight"}})
        CHECK(content(file.tensors.at(meta)) == content(ours(name)));
    CHECK(content(file.tensors.at("output.weight"))
          == content(ours(C::text::tied_head ? "model.embed_tokens.weight" : "lm_head.weight")));
}

TEST_CASE("a head in Meta's form is the embedding if it is not there or the same bytes") {
    temporary_folder const folder;
    write_meta<tied>(folder, 1, [](named_tensors& all) { all.tensors.erase("output.weight"); });
    auto const without = open(folder.path());
    CHECK(without.model->values.text.tied_head);
    check_same(without.tensors, reference<tied>().tensors);

    std::vector<std::byte> other;
    write_meta<tied>(folder, 1, [&](named_tensors& all) {
        other = content(all.tensors.at("output.weight"));
        other.back() ^= std::byte{1};
        all.tensors.at("output.weight").bytes = other;
    });
    auto const own = open(folder.path());
    CHECK_FALSE(own.model->values.text.tied_head);
    CHECK(content(own.tensors.tensors.at("lm_head.weight")) == other);
    CHECK_FALSE(config::differences(own.model->values, config::numbers_of<tied>(), own.model->unstated).empty());
}

TEST_CASE("a text model's tensors that contradict params.json") {
    temporary_folder const folder;
    write_meta<untied>(folder);
    auto const stated = [&](char const* key, json const& value) {
        auto document = json::parse(params_text(reference<untied>().model->values));
        document[key] = value;
        folder.write("params.json", document.dump());
        return fault<mismatch_error>(folder.path());
    };
    CHECK(contains(stated("n_layers", 4), "n_layers is 4, but there are tensors of 3 such layers"));
    CHECK(contains(stated("vocab_size", 271), "vocab_size makes 271 rows, but tok_embeddings.weight is [270, 36]"));
    CHECK(contains(stated("n_kv_heads", 3), "n_kv_heads makes 18 rows, but layers.0.attention.wk.weight is [12, 36]"));
    CHECK(contains(stated("dim", 48), "dim makes 48 columns, but tok_embeddings.weight is [270, 36]"));
    CHECK(contains(stated("multiple_of", 256), "multiple_of and ffn_dim_multiplier make 256 rows"));

    // The table of rotary frequencies in older files is not read; a tensor that the model does not have keeps its name.
    std::vector<float> const table(3, 1.0f);
    write_meta<untied>(folder, 1, [&](named_tensors& all) {
        all.tensors["rope.freqs"] = {dtype::f32, {3}, std::as_bytes(std::span(table)), {}};
        all.tensors["strange.weight"] = all.tensors["rope.freqs"];
    });
    auto const read = open(folder.path());
    CHECK_FALSE(read.tensors.tensors.contains("rope.freqs"));
    CHECK(read.tensors.tensors.contains("strange.weight"));
}

TEST_CASE("tensors of a vision tower in a text model are no tensors of it") {
    std::vector<float> const values(16, 1.0f);
    auto const some = [&](std::vector<std::size_t> shape) {
        return tensor{dtype::f32, std::move(shape), std::as_bytes(std::span(values)), {}};
    };
    std::string const table = "vision_model.vision_encoder.gated_positional_embedding",
                      patches = "vision_model.vision_encoder.conv1._linear.weight";
    temporary_folder const folder;
    write_meta<untied>(folder, 1, [&](named_tensors& all) {
        all.tensors[table] = some({4, 4, 1, 1});
        all.tensors[patches] = some({4, 4});
        all.tensors["text_model.layers.0.attention.wq.weight"] = some({4, 4});
    });
    auto const read = open(folder.path());
    for (std::string const& name : {table, patches, std::string("text_model.layers.0.attention.wq.weight")})
        CHECK(read.tensors.tensors.contains(name));
    CHECK(read.spare.tensors.empty());

    auto source = reference<untied>().tensors;
    source.tensors["vision_model.gated_positional_embedding.tile_embedding.weight"] = some({4, 4});
    source.tensors["language_model.model.norm.weight"] = some({16});
    CHECK(contains(
        message_of<mismatch_error>([&] { return hugging_face_to_meta(source, reference<untied>().model->values); }),
        "Meta's form has no place for \"language_model.model.norm.weight\", \"vision_model.gated"));
}

TEST_CASE("what Meta's form cannot say of a text model, and what it leaves out") {
    auto n = config::numbers_of<untied>();
    CHECK(unsayable_in_params(n).empty());
    CHECK(unsaid_in_params(n) == std::vector<std::string>{"the longest conversation"});
    n.text.rope.factor = 32;
    CHECK(unsayable_in_params(n).empty());
    CHECK(unsaid_in_params(n).size() == 2);
    n.text.rope.original_context = 4096;
    CHECK(unsayable_in_params(n)
          == std::vector<std::string>{"its rotary frequencies are scaled by other numbers than in Meta's code"});
}
