// SPDX-License-Identifier: Apache-2.0
// Where the three kinds of parity differ, and where they do not.
#include <doctest/doctest.h>

#include <map>

#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;

namespace {
constexpr std::size_t width = small::text::width;

/// Outputs of all layers, after a watched prompt.
std::map<std::string, std::vector<float>> layers_of(lv::session& s, id_list const& ids, image_list const& images) {
    std::map<std::string, std::vector<float>> layers;
    lv::read_options options;
    options.watch = [&](std::string_view module, lv::rows const& y) {
        layers[std::string(module)] = {y.data, y.data + y.size()};
    };
    s.append(ids, images, options);
    return layers;
}
lv::session session_of(lv::parity reading) { return lv::session(small_network(), {0, 64, reading}); }

std::span<float const> rows_of(std::vector<float> const& layer, std::size_t first, std::size_t count) {
    return std::span(layer).subspan(first * width, count * width);
}
std::string const first_cross = "language_model.model.layers.1", before_it = "language_model.model.layers.0";

std::vector<float> decoded(lv::session& s, lv::token id) {
    s.append_generated(id);
    return copy(s.logits());
}
} // namespace

TEST_CASE("an image first, or none: all three are the same") {
    for (auto const& [ids, images] :
         {std::pair<id_list, image_list>{{3, 4, 5, 6}, {}}, {{image_token, 4, 5}, {picture(1, 2)}}}) {
        auto usual = session_of(lv::parity::usual), meta = session_of(lv::parity::meta),
             hf = session_of(lv::parity::hugging_face);
        for (lv::session* s : {&usual, &meta, &hf}) s->append(ids, images);
        CHECK(copy(usual.logits()) == copy(meta.logits()));
        CHECK(copy(usual.logits()) == copy(hf.logits()));
        std::vector<float> const next = decoded(usual, 9);
        CHECK(next == decoded(meta, 9));
        CHECK(next == decoded(hf, 9));
    }
}

TEST_CASE("text before the image: untouched by cross layers in Meta's reading, unmasked in Hugging Face's") {
    id_list const ids{3, 4, image_token, 5, 6};
    image_list const images{picture(1, 3)};
    auto usual = session_of(lv::parity::usual), meta = session_of(lv::parity::meta),
         hf = session_of(lv::parity::hugging_face);
    auto const of_usual = layers_of(usual, ids, images), of_meta = layers_of(meta, ids, images),
               of_hf = layers_of(hf, ids, images);
    CHECK(of_usual == of_meta);
    // Meta: the cross block is the identity for rows that see nothing, bit for bit.
    std::vector<float> const &in = of_meta.at(before_it), &out = of_meta.at(first_cross),
                             &leaked = of_hf.at(first_cross);
    CHECK(copy(rows_of(out, 0, 2)) == copy(rows_of(in, 0, 2)));
    CHECK(difference(rows_of(leaked, 0, 2), rows_of(out, 0, 2)) > 1e-3);
    CHECK(copy(rows_of(leaked, 2, 3)) == copy(rows_of(out, 2, 3)));
    CHECK(difference(hf.logits(), usual.logits()) > 1e-4);
}

TEST_CASE("Hugging Face's unmasked rows attend to padded tiles and to later images; others never do") {
    id_list const ids{3, image_token, 5, image_token, 6};
    auto const first_rows = [&](lv::parity reading, lv::session::image_ptr const& last) {
        auto s = session_of(reading);
        auto const layers = layers_of(s, ids, {picture(1, 2, 1), last});
        std::vector<float> const& layer = layers.at(first_cross);
        return std::pair(copy(rows_of(layer, 0, 1)), copy(rows_of(layer, 1, 2)));
    };
    auto const a = first_rows(lv::parity::hugging_face, picture(1, 1, 2));
    auto const b = first_rows(lv::parity::hugging_face, picture(1, 1, 3));
    CHECK(a.first != b.first);
    CHECK(a.second == b.second);
    CHECK(first_rows(lv::parity::usual, picture(1, 1, 2)) == first_rows(lv::parity::usual, picture(1, 1, 3)));
}

TEST_CASE("after two images, generated tokens see none in Meta's reading, and the last image in the others") {
    id_list const ids{3, image_token, 5, image_token, 6};
    auto const after = [&](lv::parity reading, std::uint64_t seed, id_list const& prompt, image_list images) {
        auto s = session_of(reading);
        images.push_back(picture(2, 1, seed));
        s.append(prompt, images);
        std::vector<std::string> modules;
        lv::read_options options;
        options.watch = [&](std::string_view module, lv::rows const&) { modules.emplace_back(module); };
        s.append_generated(7, options);
        bool const crosses = std::count(modules.begin(), modules.end(), first_cross) == 1;
        return std::pair(crosses, copy(s.logits()));
    };
    image_list const one{picture(1, 2, 1)};
    auto const usual = after(lv::parity::usual, 2, ids, one), meta = after(lv::parity::meta, 2, ids, one);
    CHECK(usual.first);
    CHECK_FALSE(meta.first);
    CHECK(difference(meta.second, usual.second) > 1e-4);
    // With one image they agree.
    CHECK(after(lv::parity::usual, 2, {3, image_token, 6}, {}) == after(lv::parity::meta, 2, {3, image_token, 6}, {}));
}

TEST_CASE("text after two images sees the last alone; after a run of them, the whole run") {
    auto const logits = [](id_list const& ids, std::uint64_t first) {
        auto s = session_of(lv::parity::usual);
        auto const layers = layers_of(s, ids, {picture(1, 2, first), picture(2, 1, 9)});
        return copy(rows_of(layers.at(first_cross), ids.size() - 1, 1));
    };
    // Rows see pictures only in cross layers, and the input of the first of these does not depend on any picture.
    id_list const apart{3, image_token, 5, image_token, 6}, run{3, 5, image_token, image_token, 6};
    CHECK(logits(apart, 1) == logits(apart, 2));
    CHECK(logits(run, 1) != logits(run, 2));
}

TEST_CASE("a row of a run sees the run up to itself") {
    auto const rows = [](std::uint64_t second) {
        auto s = session_of(lv::parity::usual);
        id_list const ids{3, image_token, image_token, 6};
        auto const layers = layers_of(s, ids, {picture(1, 2, 1), picture(2, 1, second)});
        std::vector<float> const& layer = layers.at(first_cross);
        return std::pair(copy(rows_of(layer, 1, 1)), copy(rows_of(layer, 2, 1)));
    };
    CHECK(rows(5).first == rows(6).first);
    CHECK(rows(5).second != rows(6).second);
}
