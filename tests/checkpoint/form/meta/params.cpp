// SPDX-License-Identifier: Apache-2.0
// Meta's params.json: the published files, older spellings, and their faults.
#include <llamavision/checkpoint/form/meta/params.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/config/llama_3_2.hpp>

#include "../../../support/message.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;
using namespace llamavision::config;

namespace {

nlohmann::json const params_11b = nlohmann::json::parse(R"({"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8,
    "vocab_size": 128256, "ffn_dim_multiplier": 1.3, "multiple_of": 1024, "norm_eps": 1e-05, "rope_theta": 500000.0,
    "use_scaled_rope": true, "vision_chunk_size": 560, "vision_max_num_chunks": 4,
    "vision_num_cross_attention_layers": 8})");

template <class E>
std::string fault(std::string const& key, nlohmann::json const& value) {
    auto changed = params_11b;
    changed[key] = value;
    return message_of<E>([&] { return read_params(changed, "params.json"); });
}

} // namespace

TEST_CASE("the published models' files") {
    auto const result = read_params(params_11b, "params.json");
    CHECK(differences(result.values, numbers_of<llama_3_2_11b_vision>()).empty());
    CHECK(result.image_token == 128256);
    CHECK(result.bos == 128000);
    CHECK(result.pad == 128004);
    CHECK(result.stop_ids == std::vector<std::int32_t>{128001, 128008, 128009});
    CHECK(result.unstated == std::vector<std::string>{"text.context"});
    CHECK(result.warnings.empty());

    auto base = params_11b;
    base["vision_chunk_size"] = 448;
    CHECK(differences(read_params(base, "").values, numbers_of<llama_3_2_11b_vision_448>()).empty());
    auto large = params_11b;
    large.update({{"dim", 8192}, {"n_layers", 80}, {"n_heads", 64}, {"multiple_of", 4096}});
    large["vision_num_cross_attention_layers"] = 20;
    CHECK(differences(read_params(large, "").values, numbers_of<llama_3_2_90b_vision>()).empty());
}

TEST_CASE("other spellings") {
    auto const expected = read_params(params_11b, "").values;
    CHECK(read_params({{"model", params_11b}}, "").values == expected);
    auto adapter = params_11b;
    adapter.erase("vision_num_cross_attention_layers");
    adapter["vision_model"] = {{"cross_attention_adapter", {{"num_layers", 8}}}};
    CHECK(read_params(adapter, "").values == expected);
    auto silent = params_11b;
    for (char const* const key : {"norm_eps", "rope_theta", "vision_max_num_chunks"}) silent.erase(key);
    silent["max_seq_len"] = 5; // has no effect
    CHECK(read_params(silent, "").values == expected);
    silent.erase("use_scaled_rope");
    CHECK_FALSE(read_params(silent, "").values.text.rope.scaled);
    silent["n_kv_heads"] = nullptr;
    CHECK(read_params(silent, "").values.text.kv_heads == 32);
}

TEST_CASE("the feed-forward width") {
    CHECK(feed_forward_width(4096, 1024, 1.3) == 14336);
    CHECK(feed_forward_width(8192, 4096, 1.3) == 28672);
    CHECK(feed_forward_width(64, 32, 0.94) == 160); // int(0.94 · 170) = 159
    CHECK(feed_forward_width(4096, 256, std::nullopt) == 11008);
    CHECK(feed_forward_width(128, 128, std::nullopt) == 384);
    CHECK_FALSE(feed_forward_width(4096, 1, 1e300));
    CHECK_FALSE(feed_forward_width(4096, 1, 1e-300));
}

TEST_CASE("where the cross layers are") {
    using list = std::vector<std::size_t>;
    CHECK(spread_cross_layers(32, 8) == list{3, 8, 13, 18, 23, 28, 33, 38});
    CHECK(spread_cross_layers(8, 2) == list{3, 8});
    CHECK(spread_cross_layers(4, 1) == list{3});
    CHECK(spread_cross_layers(5, 2) == list{1, 5});
    CHECK(spread_cross_layers(3, 2) == list{0, 3});
    CHECK(spread_cross_layers(4, 2) == list{1, 4});
    CHECK(spread_cross_layers(2, 2) == list{0, 2});
    CHECK(spread_cross_layers(4, 0) == list{});
    CHECK_FALSE(spread_cross_layers(5, 4)); // every second of five gives three
    CHECK_FALSE(spread_cross_layers(2, 3));
    CHECK_FALSE(spread_cross_layers(0, 1));
}

TEST_CASE("what is wrong is said in the file's words") {
    CHECK(contains(fault<format_error>("dim", nullptr), "params.json: the key \"dim\" is missing"));
    CHECK(contains(fault<format_error>("dim", "4096"), "params.json: dim: expected a positive integer"));
    CHECK(contains(fault<format_error>("dim", std::size_t{1} << 40), "dim: expected at most 2097152"));
    CHECK(contains(fault<format_error>("n_heads", 33), "n_heads 33 does not divide dim 4096"));
    CHECK(contains(fault<format_error>("n_kv_heads", 5), "n_kv_heads 5 does not divide n_heads 32"));
    CHECK(contains(fault<format_error>("n_heads", 4096), "is an odd head width"));
    CHECK(contains(fault<format_error>("vocab_size", -1), "vocab_size: expected a positive integer"));
    CHECK(contains(fault<format_error>("vision_chunk_size", -1), "vision_chunk_size: expected a positive integer"));
    CHECK(contains(fault<format_error>("vision_max_num_chunks", 65), "vision_max_num_chunks: expected at most 64"));
    CHECK(contains(fault<format_error>("ffn_dim_multiplier", 1e9), "make no feed-forward width"));
    CHECK(contains(fault<format_error>("multiple_of", 0), "multiple_of: expected a positive integer"));
    CHECK(contains(fault<format_error>("vision_num_cross_attention_layers", 40),
                   "40 cross-attention layers cannot be spread over 32 layers of self-attention"));
    CHECK(contains(fault<mismatch_error>("vision_num_cross_attention_layers", nullptr),
                   "names the size of a picture's tiles (vision_chunk_size), but no cross-attention layers"));
    CHECK(contains(fault<mismatch_error>("quantization_args", nlohmann::json::object()), "quantised or adapted"));
    for (char const* const key : {"dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "vision_chunk_size"})
        for (auto const& wrong : {nlohmann::json(0), nlohmann::json(-1), nlohmann::json(1.5), nlohmann::json("8"),
                                  nlohmann::json(true), nlohmann::json::array({8}), nlohmann::json(UINT64_MAX)})
            CHECK_MESSAGE(contains(fault<format_error>(key, wrong), std::string("params.json: ") + key + ": expected"),
                          key);
    for (auto const& wrong :
         {nlohmann::json(0), nlohmann::json(-1e-5), nlohmann::json("1e-5"), nlohmann::json(HUGE_VAL)})
        for (char const* const key : {"norm_eps", "rope_theta", "ffn_dim_multiplier"})
            CHECK_MESSAGE(contains(fault<format_error>(key, wrong), std::string("params.json: ") + key + ": expected"),
                          key);
    CHECK(contains(fault<format_error>("use_scaled_rope", 1), "use_scaled_rope: expected true or false"));
    CHECK(contains(message_of<format_error>([] { return read_params(nlohmann::json::array(), "params.json"); }),
                   "expected an object"));
    auto small = params_11b;
    small["vocab_size"] = 256;
    CHECK(read_params(small, "").stop_ids.empty());
}

TEST_CASE("numbers that a file does not state are not compared") {
    numbers const compiled = numbers_of<llama_3_2_11b_vision>();
    numbers file = compiled;
    file.vision.heads = 0;
    file.vision.taps.clear();
    CHECK(differences(file, compiled).size() == 2);
    CHECK(differences(file, compiled, {"vision.heads"}).size() == 1);
    CHECK(differences(file, compiled, {"vision.heads", "vision.taps"}).empty());
    file.text.width = 1;
    CHECK(differences(file, compiled, {"vision.heads", "vision.taps"}).size() == 1);
}
