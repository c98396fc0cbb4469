// SPDX-License-Identifier: Apache-2.0
// Tensors in other formats: which ones are converted, their bits, and their errors.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/encoding/quantise.hpp>

#include <llamavision/config/tiny.hpp>
#include <llamavision/model/expected_tensors.hpp>

#include "../../support/message.hpp"
#include "../../support/random_floats.hpp"

namespace lv = llamavision;
using lv::checkpoint::dtype;

namespace {

lv::checkpoint::named_tensors some(std::vector<std::string> const& names, std::size_t rows, std::size_t columns) {
    lv::checkpoint::named_tensors all;
    for (std::string const& name : names) {
        auto const values = std::make_shared<std::vector<float>>(random_floats(name.size()).many(rows * columns, 0.1f));
        all.tensors[name] = {dtype::f32, {rows, columns}, std::as_bytes(std::span(*values)), {}};
        all.owners.push_back(values);
    }
    return all;
}

std::string const vision = "vision_model.transformer.layers.0.self_attn.q_proj.weight";
std::string const projector = "multi_modal_projector.weight";
std::string const cross = "language_model.model.layers.3.mlp.up_proj.weight";
std::string const self = "language_model.model.layers.4.mlp.up_proj.weight";
std::string const embedding = "language_model.model.embed_tokens.weight";
std::string const head = "language_model.lm_head.weight";
std::string const positions = "vision_model.gated_positional_embedding.tile_embedding.weight";

/// What `tiny` says of its tensors, with one cross layer at 3.
lv::checkpoint::named_tensors quantised(lv::checkpoint::named_tensors source, lv::weight_formats const& formats,
                                        std::shared_ptr<lv::thread_pool> const& pool) {
    auto numbers = lv::config::numbers_of<lv::tiny>();
    numbers.text.cross_layers = {3};
    return lv::checkpoint::quantised(std::move(source), lv::formats_by_name(lv::expected_tensors(numbers), formats),
                                     pool);
}

std::vector<std::byte> made(lv::checkpoint::tensor const& t) {
    std::vector<std::byte> bytes(lv::checkpoint::size_in_bytes(t));
    t.make(bytes);
    return bytes;
}

} // namespace

TEST_CASE("each part gets its format, and small tensors stay") {
    auto const pool = std::make_shared<lv::thread_pool>(2);
    using enum lv::weight_format;
    auto const all = quantised(some({vision, projector, cross, self, embedding, head, positions}, 4, 64),
                               {bf16, stored, q4, q8, q8, q8}, pool);
    auto const type = [&](std::string const& name) { return all.tensors.at(name).type; };
    CHECK(type(vision) == dtype::bf16);
    CHECK(type(projector) == dtype::f32);
    CHECK(type(cross) == dtype::q4_0);
    CHECK(type(self) == dtype::q8_0);
    CHECK(type(embedding) == dtype::q8_0);
    CHECK(type(head) == dtype::q8_0);
    CHECK(type(positions) == dtype::f32);
    CHECK_FALSE(all.tensors.at(positions).make);
    CHECK(all.owners.size() == 7);
    CHECK(lv::checkpoint::values_of(all.tensors.at(cross)) == 256);
}

TEST_CASE("converted bytes are those of the encoders, for sizes beyond a piece") {
    for (std::size_t threads : {1u, 3u}) {
        auto const pool = std::make_shared<lv::thread_pool>(threads);
        auto const source = some({self}, 37, 416);
        auto const* const values = reinterpret_cast<float const*>(source.tensors.at(self).bytes.data());
        std::size_t const count = 37 * 416;
        for (lv::weight_format f : {lv::weight_format::q8, lv::weight_format::q4, lv::weight_format::bf16}) {
            lv::weight_formats formats;
            formats.self = f;
            auto const all = quantised(source, formats, pool);
            std::vector<std::byte> const bytes = made(all.tensors.at(self));
            std::vector<std::byte> wanted(bytes.size());
            if (f == lv::weight_format::q8)
                lv::encode_blocks<lv::q8_0>(values, count, wanted.data());
            else if (f == lv::weight_format::q4)
                lv::encode_blocks<lv::q4_0>(values, count, wanted.data());
            else
                for (std::size_t i = 0; i < count; ++i) {
                    lv::bf16 const v = lv::bf16::round(values[i]);
                    std::memcpy(wanted.data() + 2 * i, &v, 2);
                }
            CHECK(bytes == wanted);
        }
    }
}

TEST_CASE("tensors that are in blocks already stay, or are converted from their values") {
    auto const pool = std::make_shared<lv::thread_pool>(1);
    lv::weight_formats eight, four;
    eight.self = lv::weight_format::q8;
    four.self = lv::weight_format::q4;
    auto const once = quantised(some({self}, 3, 96), eight, pool);
    auto const again = quantised(once, eight, pool);
    CHECK(made(again.tensors.at(self)) == made(once.tensors.at(self)));
    auto const smaller = quantised(once, four, pool);
    CHECK(smaller.tensors.at(self).type == dtype::q4_0);
    std::vector<std::byte> const bytes = made(once.tensors.at(self));
    std::vector<float> wide(3 * 96);
    lv::decode_blocks<lv::q8_0>(bytes, wide.data());
    std::vector<std::byte> wanted(3 * 96 / 32 * sizeof(lv::q4_0));
    lv::encode_blocks<lv::q4_0>(wide.data(), wide.size(), wanted.data());
    CHECK(made(smaller.tensors.at(self)) == wanted);
}

TEST_CASE("what cannot be converted") {
    auto const pool = std::make_shared<lv::thread_pool>(1);
    lv::weight_formats formats;
    formats.self = lv::weight_format::q4;
    auto const narrow = quantised(some({self}, 3, 48), formats, pool); // rows without whole blocks
    CHECK(narrow.tensors.at(self).type == dtype::f32);
    auto odd = some({self}, 3, 64);
    odd.tensors.at(self).type = dtype::i32;
    CHECK(contains(message_of<lv::mismatch_error>([&] { return quantised(odd, formats, pool).owners.size(); }),
                   "is I32, which holds no weights"));
    formats.self = lv::weight_format::i8;
    CHECK_THROWS_AS(static_cast<void>(quantised(some({self}, 3, 64), formats, pool)), lv::argument_error);
}

TEST_CASE("a value that is infinite or no number is kept in bf16, and refused by integers, which name the tensor") {
    auto const pool = std::make_shared<lv::thread_pool>(2);
    for (float const odd : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        auto source = some({self, cross}, 150, 64);
        auto const values = std::make_shared<std::vector<float>>(150 * 64, 1.0f);
        (*values)[5000] = odd; // in the second piece
        source.tensors.at(self).bytes = std::as_bytes(std::span(std::as_const(*values)));
        source.owners.push_back(values);
        lv::weight_formats formats;
        for (lv::weight_format const f : {lv::weight_format::q8, lv::weight_format::q4}) {
            formats.self = formats.cross = f;
            auto const all = quantised(source, formats, pool);
            CHECK(made(all.tensors.at(cross)).size() > 0);
            std::string const said = message_of<lv::format_error>([&] { return made(all.tensors.at(self)).size(); });
            CHECK(contains(said, "the tensor \"" + self + "\" as Q"));
            CHECK(contains(said, "a weight is infinite or no number"));
        }
        formats.self = lv::weight_format::bf16;
        auto const all = quantised(source, formats, pool);
        auto error = lv::checkpoint::compare(source.tensors.at(self), all.tensors.at(self));
        CHECK(std::isnan(error.relative()));
        CHECK(std::isnan(error.worst()));
        error += lv::checkpoint::compare(source.tensors.at(cross), source.tensors.at(cross));
        CHECK(std::isnan(error.relative()));
        CHECK(std::isnan(error.worst()));
    }
}

TEST_CASE("errors are those of uniform steps") {
    auto const pool = std::make_shared<lv::thread_pool>(1);
    auto const source = some({self}, 64, 256);
    double before = 0;
    for (auto [f, most] : {std::pair{lv::weight_format::q8, 0.5 / 127 + 0x1p-11}, {lv::weight_format::q4, 1.01 / 8}}) {
        lv::weight_formats formats;
        formats.self = f;
        auto const all = quantised(source, formats, pool);
        lv::checkpoint::quantisation_error const e =
            lv::checkpoint::compare(source.tensors.at(self), all.tensors.at(self));
        CHECK(e.worst() <= most);
        // Values and errors are uniform, so the root mean square of both is half of their range over the root of three.
        CHECK(e.relative() == doctest::Approx(f == lv::weight_format::q8 ? 0.5 / 127 : 0.5 / 8).epsilon(0.1));
        CHECK(e.relative() > before);
        before = e.relative();
        CHECK(e.bytes_before == 64 * 256 * 4);
        CHECK(e.bytes_after == 64 * 256 / 32 * (f == lv::weight_format::q8 ? 34 : 18));
    }
    lv::checkpoint::quantisation_error const none =
        lv::checkpoint::compare(source.tensors.at(self), source.tensors.at(self));
    CHECK(none.relative() == 0);
    CHECK(none.worst() == 0);
}
