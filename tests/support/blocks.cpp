// SPDX-License-Identifier: Apache-2.0
// Every block type against gguf's own Python package (tests/support/blocks.py), bit for bit.
#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/weights/blocks.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

using namespace llamavision;

namespace {

checkpoint::named_tensors const& vectors() {
    static auto const read = checkpoint::read_safetensors(LLAMAVISION_TEST_DATA "/support/blocks.safetensors");
    return read;
}

std::vector<float> floats(std::string const& name) {
    auto const bytes = vectors().tensors.at(name).bytes;
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

template <class Block>
void check_decoding(std::string const& name) {
    CAPTURE(name);
    std::span<std::byte const> const bytes = vectors().tensors.at(name + ".blocks").bytes;
    auto const expected = floats(name + ".values");
    REQUIRE(expected.size() == bytes.size() / sizeof(Block) * Block::values);
    std::vector<float> is(expected.size());
    decode_blocks<Block>(bytes, is.data());
    CHECK(same_bits(is, expected));

    std::vector<std::byte> shifted{std::byte{}}; // an odd address
    shifted.insert(shifted.end(), bytes.begin(), bytes.end());
    decode_blocks<Block>(std::span<std::byte const>(shifted).subspan(1), is.data());
    CHECK(same_bits(is, expected));
}

template <class Block>
void check_encoding(std::string const& name) {
    CAPTURE(name);
    auto const values = floats("values");
    std::span<std::byte const> const expected = vectors().tensors.at(name + ".encoded").bytes;
    REQUIRE(expected.size() == values.size() / Block::values * sizeof(Block));
    std::vector<std::byte> is(expected.size());
    encode_blocks<Block>(values.data(), values.size(), is.data());
    for (std::size_t block = 0; block < values.size() / Block::values; ++block) {
        CAPTURE(block);
        CHECK(std::memcmp(&is[block * sizeof(Block)], &expected[block * sizeof(Block)], sizeof(Block)) == 0);
    }
}

} // namespace

TEST_CASE("blocks of every type decode to gguf-py's floats") {
    check_decoding<q4_0>("q4_0");
    check_decoding<q4_1>("q4_1");
    check_decoding<q5_0>("q5_0");
    check_decoding<q5_1>("q5_1");
    check_decoding<q8_0>("q8_0");
    check_decoding<q4_k>("q4_k");
    check_decoding<q5_k>("q5_k");
    check_decoding<q6_k>("q6_k");
}

TEST_CASE("Q8_0 and Q4_0 are encoded to gguf-py's bytes") {
    check_encoding<q8_0>("q8_0");
    check_encoding<q4_0>("q4_0");
}

TEST_CASE("what is encoded comes back within half a step") {
    auto const values = floats("values");
    for (std::size_t at = 0; at < values.size(); at += 32) {
        float largest = 0, back[32];
        for (std::size_t i = 0; i < 32; ++i) largest = std::fmax(largest, std::abs(values[at + i]));
        if (largest < 1e-2f || largest > 1e4f) continue; // scales that halves hold with all their bits
        q8_0::encode(&values[at]).decode(back);
        for (std::size_t i = 0; i < 32; ++i)
            CHECK(std::abs(back[i] - values[at + i]) <= largest * (0.51f / 127 + 0x1p-11f));
        q4_0::encode(&values[at]).decode(back);
        for (std::size_t i = 0; i < 32; ++i)
            CHECK(std::abs(back[i] - values[at + i]) <= largest * (1.01f / 8 + 0x1p-11f));
    }
}

TEST_CASE("values that are not finite are refused, wherever they stand") {
    float const nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    for (float const odd : {nan, -nan, infinity, -infinity})
        for (std::size_t at = 0; at < 32; ++at) {
            std::vector<float> values(32, std::numeric_limits<float>::max());
            CHECK_NOTHROW(static_cast<void>(q8_0::encode(values.data())));
            CHECK_NOTHROW(static_cast<void>(q4_0::encode(values.data())));
            values[at] = odd;
            CHECK_THROWS_AS(static_cast<void>(q8_0::encode(values.data())), format_error);
            CHECK_THROWS_AS(static_cast<void>(q4_0::encode(values.data())), format_error);
        }
}
