// SPDX-License-Identifier: Apache-2.0
// The sentences of the model: their widths, that they can be taken apart, that their symbols stay short, and which
// structs are configurations.
#include <doctest/doctest.h>

#include <cstring>
#include <tuple>
#include <typeinfo>

#include <llamavision/model/mllama.hpp>

#include "../support/small.hpp"

namespace lv = llamavision;

namespace {
using C = lv::llama_3_2_11b_vision;
using T = C::text;
using V = C::vision;

static_assert(lv::width_in<lv::swiglu<T>> == 4096 && lv::width_out<lv::swiglu<T>> == 4096);
static_assert(lv::width_out<lv::self_attention<T>> == 4096 && lv::kv_width<T> == 1024);
static_assert(lv::works_in_place<lv::text_block<T>> && lv::works_in_place<lv::cross_block<T>>);
static_assert(lv::width_in<lv::vision_model<V>> == lv::tile_pixels && lv::width_out<lv::vision_model<V>> == 7680);
static_assert(lv::width_out<lv::image_encoder<C>> == 4096);
static_assert(lv::width_in<lv::language_model<T>> == lv::token_ids && lv::width_out<lv::language_model<T>> == 128256);

// A sentence is its words: SwiGLU is (gate | silu) * up | down, and each of them can be taken out.
using down_of = lv::grammar::chain<
    lv::grammar::product<lv::grammar::chain<lv::layer::linear<"gate_proj", 4096, 14336>, lv::layer::silu>,
                         lv::layer::linear<"up_proj", 4096, 14336>>,
    lv::layer::linear<"down_proj", 14336, 4096>>;
static_assert(std::is_same_v<lv::body<lv::swiglu<T>>, down_of>);
static_assert(std::is_empty_v<lv::language_model<T>> && std::is_empty_v<lv::mllama_of<C>>);

// Attention's shape follows from the widths: 32 query heads share 8 key heads of 128.
constexpr lv::attention_shape shape_of(auto e) {
    using attend = std::remove_const_t<decltype(e)>;
    return attend::shape;
}
constexpr auto attend =
    lv::attend_past<32>(lv::linear<"q", 4096, 4096>, lv::linear<"k", 4096, 1024>, lv::linear<"v", 4096, 1024>);
static_assert(shape_of(attend).heads == 32 && shape_of(attend).kv_heads == 8 && shape_of(attend).head_dim == 128);

template <std::size_t Heads, std::size_t Kv>
struct with_heads : small {
    struct text : small::text {
        static constexpr std::size_t heads = Heads, kv_heads = Kv;
    };
};
template <std::size_t... At>
struct crossing_at : small {
    struct text : small::text {
        static constexpr std::array<std::size_t, sizeof...(At)> cross_layers{At...};
    };
};
template <std::size_t Tile, std::size_t Tap>
struct tapped : small {
    struct vision : small::vision {
        static constexpr std::size_t tile = Tile;
        static constexpr std::array<std::size_t, 1> taps{Tap};
    };
};
struct no_name {
    using vision = small::vision;
    using text = small::text;
};
static_assert(lv::configuration<small> && lv::configuration<with_heads<8, 2>> && lv::configuration<with_heads<2, 1>>);
static_assert(!lv::configuration<no_name> && !lv::configuration<int>);
static_assert(!lv::configuration<with_heads<3, 1>>);  // 16 / 3
static_assert(!lv::configuration<with_heads<16, 8>>); // heads one wide: rope turns pairs
static_assert(!lv::configuration<with_heads<4, 3>>);
static_assert(lv::configuration<crossing_at<0, 2, 4>> && lv::configuration<crossing_at<>>);
static_assert(
    !lv::configuration<crossing_at<
        2,
        5>> && !lv::configuration<crossing_at<2, 1>> && !lv::configuration<crossing_at<2, 2>> && !lv::configuration<crossing_at<0, 1, 2, 3, 4>>);
static_assert(
    lv::configuration<tapped<12, 2>> && !lv::configuration<tapped<13, 2>> && !lv::configuration<tapped<12, 3>>);
} // namespace

TEST_CASE("symbols stay short, however large the model") {
    CHECK(std::strlen(typeid(lv::language_model<T>).name()) < 100);
    CHECK(std::strlen(typeid(lv::image_encoder<C>).name()) < 100);
    CHECK(std::strlen(typeid(lv::weights<lv::cross_block<T>>).name()) < 120);
}

TEST_CASE("tokens, pads and arrangements of the published towers") {
    CHECK(lv::config::tokens<V> == 1601);
    CHECK(lv::config::pads<V> == 7);
    CHECK(lv::config::tokens<lv::llama_3_2_11b_vision_448::vision> == 1025);
    CHECK(lv::config::pads<lv::llama_3_2_11b_vision_448::vision> == 7);
    CHECK(lv::config::arrangements<V> == 8);
    CHECK(lv::llama_3_2_11b_vision::text::cross_layers.back() == 38);
    CHECK(lv::llama_3_2_90b_vision::text::cross_layers.back() == 98);
}

TEST_CASE("a configuration's numbers as values") {
    lv::config::numbers const n = lv::config::numbers_of<small>();
    CHECK(n.vision.taps == std::vector<std::size_t>{0, 2});
    CHECK(n.text.cross_layers == std::vector<std::size_t>{1, 4});
    CHECK(n.vision.aspect_ratios.size() == 8);
    CHECK(n.vision.aspect_ratios[1] == lv::config::arrangement{1, 2});
    CHECK(n.text.vocabulary == 40);
    CHECK(n.text.rope == small::text::rope);
}
