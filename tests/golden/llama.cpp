// SPDX-License-Identifier: Apache-2.0
// The text models Llama 3.1 and 3.2, written from the same blocks: every layer, the logits and the greedy tokens of
// transformers' LlamaForCausalLM (llama.py), with a head of its own and with one that is tied to the embedding.
#include "golden.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>

#include "../support/message.hpp"

namespace lv = llamavision;

namespace {

struct tied {
    static constexpr std::string_view name = "llama_tied";
    struct text {
        static constexpr std::size_t width = 128, mlp = 36, heads = 2, kv_heads = 1, layers = 2;
        static constexpr std::size_t vocabulary = 200, context = 131072;
        static constexpr float norm_eps = 1e-5f;
        static constexpr lv::config::rope_numbers rope{500000.0, true, 32.0, 1.0, 4.0, 8192};
        static constexpr bool tied_head = true;
    };
};

struct untied {
    static constexpr std::string_view name = "llama_untied";
    struct text {
        static constexpr std::size_t width = 36, mlp = 44, heads = 6, kv_heads = 2, layers = 3;
        static constexpr std::size_t vocabulary = 270, context = 16384;
        static constexpr float norm_eps = 2e-3f;
        static constexpr lv::config::rope_numbers rope{500000.0, true, 8.0, 1.0, 4.0, 8192};
        static constexpr bool tied_head = false;
    };
};

std::filesystem::path folder_of(std::string_view name) {
    return std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden" / name;
}

/// What the goldens hold of one prompt, against one backend. @return the largest relative error
double check_case(lv::network const& net, std::shared_ptr<lv::network const> const& shared,
                  lv::checkpoint::named_tensors const& stored) {
    golden::distance d;
    std::size_t layers = 0;
    lv::read_options watched;
    watched.watch = [&](std::string_view module, lv::rows const& y) {
        if (!module.starts_with("model.layers.") || module.find('.', 13) != std::string_view::npos) return;
        auto const wanted = stored.tensors.find("hf.layers." + std::string(module.substr(13)));
        if (wanted == stored.tensors.end()) return;
        ++layers;
        golden::floats const values = golden::floats_of(wanted->second);
        REQUIRE(values.size() % y.width == 0);
        std::size_t const first = y.size() - values.size(); // all rows, or the last ones
        for (std::size_t i = 0; i < values.size(); ++i) d.add(y.data[first + i], values[i]);
    };
    auto const ids = golden::ids_of(stored.tensors.at("input_ids"));
    lv::session seen(shared), s(shared);
    seen.append(ids, {}, watched);
    CHECK(layers > 0);
    s.append(ids, {}, {});
    golden::floats const logits = golden::floats_of(stored.tensors.at("hf.logits"));
    std::size_t const last = logits.size() - net.numbers().text.vocabulary;
    for (std::size_t i = 0; i < s.logits().size(); ++i) {
        d.add(s.logits()[i], logits[last + i]);
        d.add(seen.logits()[i], logits[last + i]);
    }
    for (lv::token const expected : golden::ids_of(stored.tensors.at("hf.greedy"))) {
        auto const best = std::max_element(s.logits().begin(), s.logits().end()) - s.logits().begin();
        REQUIRE(static_cast<lv::token>(best) == expected);
        s.append_generated(expected);
    }
    return d.relative();
}

template <class C, class B>
void check(B const& backend) {
    CAPTURE(std::string(backend.name()));
    lv::checkpoint::opened folder = lv::checkpoint::open(folder_of(C::name) / "hf");
    CHECK(lv::config::differences(folder.model->values, lv::config::numbers_of<C>(), folder.model->unstated).empty());
    auto const net = std::make_shared<lv::network_of<C, B> const>(std::move(folder.tensors), backend);
    CHECK(net->size() == lv::count(lv::llama_of<C>::reader));
    for (char const* name : {"one", "nine", "long"}) {
        CAPTURE(name);
        auto const stored =
            lv::checkpoint::read_safetensors(folder_of(C::name) / "golden" / (std::string(name) + ".safetensors"));
        CHECK(check_case(*net, net, stored) < 1e-5);
    }
}

template <class C>
void check_on_both() {
    check<C>(lv::scalar());
    check<C>(lv::simd(2));
}

} // namespace

TEST_CASE("a text model with a head of its own") { check_on_both<untied>(); }

TEST_CASE("a text model whose head is tied to the embedding") { check_on_both<tied>(); }

TEST_CASE("a text model sees no pictures, and plans none") {
    auto tensors = lv::checkpoint::read_safetensors(folder_of(tied::name) / "hf" / "model.safetensors");
    lv::network_of<tied, lv::scalar> const net(std::move(tensors), lv::scalar());
    CHECK_FALSE(net.sees());
    CHECK(net.image_flops(1, false) == 0);
    CHECK(net.plan(8).image == 0);
    CHECK(net.plan(8).encode_scratch == 0);
    CHECK(contains(message_of<lv::image_error>([&] { return net.blank_image(1, 1, {}); }), "reads text alone"));
    CHECK_THROWS_AS(static_cast<void>(net.encoder_mark()), lv::image_error);
}
