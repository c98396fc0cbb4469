// SPDX-License-Identifier: Apache-2.0
// What the compiler knows of the published models: tensors, parameters, and operations (Meta: params.json; the figures
// are arithmetic on its numbers).
#include <doctest/doctest.h>

#include <llamavision/model/llama.hpp>
#include <llamavision/model/mllama.hpp>

#include "../support/small.hpp"

namespace lv = llamavision;

namespace {
using b11 = lv::llama_3_2_11b_vision;
using b11_448 = lv::llama_3_2_11b_vision_448;
using b90 = lv::llama_3_2_90b_vision;

static_assert(count(lv::mllama<b11>) == lv::totals{906, 10'670'220'835});
static_assert(count(lv::mllama<b11_448>) == lv::totals{906, 10'642'941'475});
static_assert(count(lv::mllama<b90>) == lv::totals{1494, 88'593'355'323});
static_assert(count(lv::llama_of<lv::llama_3_1_8b>::reader) == lv::totals{291, 8'030'261'248});
static_assert(count(lv::llama_of<lv::llama_3_2_3b>::reader) == lv::totals{254, 3'212'749'824});
static_assert(count(lv::llama_of<lv::llama_3_2_1b>::reader) == lv::totals{146, 1'235'814'400});

static_assert(count(lv::mllama<b11>).bytes(lv::format::f32) == 42'680'883'340);
static_assert(count(lv::mllama<b11>).bytes(lv::format::f16) == 21'340'441'670);
static_assert(count(lv::mllama<b90>).bytes(lv::format::bf16) == 177'186'710'646);

// The parts: tower, projector, cross-attention layers, the rest of the language model.
template <class C>
constexpr std::size_t projector = C::text::width*(6 * 1280 + 1);
template <class C>
constexpr lv::totals tower = count(lv::vision_model<typename C::vision>{});
template <class C>
constexpr lv::totals cross = count(lv::cross_block<typename C::text>{}) * C::text::cross_layers.size();
static_assert(tower<b11>.parameters == 863'567'379 && tower<b11_448>.parameters == 836'288'019);
static_assert(count(lv::mllama<b11>.encoder).parameters == tower<b11>.parameters + projector<b11>);
static_assert(cross<b11>.parameters == 1'744'898'064 && cross<b90>.parameters == 17'113'093'160);
static_assert(count(lv::mllama<b11>.reader).parameters - cross<b11>.parameters == 8'030'294'016);
static_assert(count(lv::mllama<b90>.reader).parameters - cross<b90>.parameters == 70'553'772'032);

/// Work of a picture whose four tile slots all reach the projector.
template <class C>
constexpr lv::work picture = [] {
    using V = typename C::vision;
    lv::work w;
    w.tower_rows = static_cast<double>(4 * (lv::config::tokens<V> + lv::config::pads<V>));
    w.tower_pairs = w.tower_rows * w.tower_rows;
    w.feature_rows = static_cast<double>(4 * lv::config::tokens<V>);
    w.sees_image = true;
    return w;
}();

template <class C>
constexpr double tower_flops(std::size_t tiles) {
    double rows = static_cast<double>(tiles * lv::config::patches<typename C::vision>);
    return flops(lv::vision_model<typename C::vision>{}, picture<C>, rows);
}
template <class C>
constexpr double encoder_flops() {
    double rows = static_cast<double>(4 * lv::config::patches<typename C::vision>);
    return flops(lv::mllama<C>.encoder, picture<C>, rows);
}
template <class C>
constexpr double image_memory_flops() {
    double no_text = 0;
    return flops(lv::mllama<C>.reader, picture<C>, no_text);
}

/// One decoded token: its products, and the scores over so many rows of image.
template <class C>
constexpr double decode_flops(bool sees_image, std::size_t image_rows = 0) {
    lv::work w;
    w.text_rows = w.logit_rows = 1;
    w.sees_image = sees_image;
    w.image_pairs = static_cast<double>(image_rows);
    double rows = 1;
    return flops(lv::mllama<C>.reader, w, rows);
}

constexpr bool near(double is, double wanted, double last_digit) {
    return is > wanted - 0.5 * last_digit && is < wanted + 0.5 * last_digit;
}
static_assert(near(tower_flops<b11>(1) * 1e-12, 18.6, 0.1) && near(tower_flops<b11>(4) * 1e-12, 18.6, 0.1));
static_assert(near(tower_flops<b11_448>(4) * 1e-12, 10.0, 0.1));
static_assert(near(tower_flops<b90>(4) * 1e-12, 18.6, 0.1));
static_assert(near((encoder_flops<b11>() - tower_flops<b11>(4)) * 1e-12, 0.40, 0.01));
static_assert(near((encoder_flops<b11_448>() - tower_flops<b11_448>(4)) * 1e-12, 0.26, 0.01));
static_assert(near((encoder_flops<b90>() - tower_flops<b90>(4)) * 1e-12, 0.81, 0.01));
static_assert(near(image_memory_flops<b11>() * 1e-12, 0.86, 0.01));
static_assert(near(image_memory_flops<b11_448>() * 1e-12, 0.55, 0.01));
static_assert(near(image_memory_flops<b90>() * 1e-12, 4.30, 0.01));
static_assert(near(decode_flops<b11>(false) * 1e-9, 15.0, 0.1) && near(decode_flops<b11>(true) * 1e-9, 18.4, 0.1));
static_assert(near(decode_flops<b90>(false) * 1e-9, 139.0, 0.1) && near(decode_flops<b90>(true) * 1e-9, 172.6, 0.1));
static_assert(near((decode_flops<b11>(true, 4 * 1601) - decode_flops<b11>(true)) * 1e-9, 0.84, 0.01));
static_assert(near((decode_flops<b90>(true, 4 * 1601) - decode_flops<b90>(true)) * 1e-9, 4.2, 0.1));
} // namespace

TEST_CASE("a configuration of one's own is counted like the published ones") {
    // Counted by hand: tower, projector, text.
    constexpr std::size_t block = 4 * 12 * 12 + 2 * 12 * 20 + 12 + 20 + 4 * 12;
    constexpr std::size_t embeddings = 12 * 3 * 16 + 12 + 5 * 12 + 1 + 9 * 4 * 5 * 12 + 2 * (9 * 4 * 12 + 1) + 4 * 12;
    constexpr std::size_t text_mlp = 3 * 16 * 24 + 2 * 16;
    constexpr std::size_t self = 2 * 16 * 16 + 2 * 16 * 8, cross = self + 4 + 4 + 2;
    constexpr std::size_t text = 48 * 16 + 40 * 16 + 16 + 5 * text_mlp + 3 * self + 2 * cross;
    static_assert(count(lv::mllama<small>).parameters == embeddings + 5 * block + 2 * 2 + (3 * 12 * 16 + 16) + text);
    static_assert(count(lv::mllama<small>).tensors == 13 + 5 * 12 + 2 * 2 + 2 + 3 + 3 * 9 + 2 * 13);
    CHECK(random_weights<small>().tensors.size() == count(lv::mllama<small>).tensors);
}

TEST_CASE("totals add up") {
    constexpr lv::totals one = count(lv::linear_with_bias<"a", 3, 5>);
    static_assert(one == lv::totals{2, 20});
    static_assert(count(lv::repeat<7>(lv::residual(lv::linear_with_bias<"a", 3, 3>))) == lv::totals{14, 84});
    static_assert(count(lv::silu | lv::gelu) == lv::totals{});
    double rows = 10;
    CHECK(flops(lv::linear<"a", 3, 5> | lv::silu, lv::work{}, rows) == 300.0);
}
