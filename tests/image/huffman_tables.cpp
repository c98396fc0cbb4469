// SPDX-License-Identifier: Apache-2.0
// JPEG files with Huffman tables of more than 256 codes, or that reach behind their segment, are refused before they
// are decoded.
#include "pictures.hpp"

#include <algorithm>
#include <array>

#include <doctest/doctest.h>
#include <llamavision/image/open.hpp>

namespace {

/// The test picture with `length` codes of every length in its first table.
std::vector<std::byte> with_codes(std::byte length) {
    auto file = pictures::read("baseline_420.jpg");
    constexpr std::array mark{std::byte{0xFF}, std::byte{0xC4}};
    auto const table = std::search(file.begin(), file.end(), mark.begin(), mark.end());
    REQUIRE(file.end() - table > 21);
    std::fill_n(table + 5, 16, length); // after the mark, the segment's length and the table's number
    return file;
}

} // namespace

TEST_CASE("a Huffman table of more than 256 codes is refused by name") {
    CHECK_THROWS_WITH_AS(llamavision::image::decode(with_codes(std::byte{17}), "p.jpg"),
                         doctest::Contains("a Huffman table of 272 codes"), llamavision::image_error);
    CHECK_THROWS_AS(llamavision::image::decode(with_codes(std::byte{255}), "p.jpg"), llamavision::image_error);
}

TEST_CASE("a Huffman table ends in its segment") {
    auto const file = pictures::read("baseline_420.jpg");
    constexpr std::array mark{std::byte{0xFF}, std::byte{0xC4}};
    auto const table = std::search(file.begin(), file.end(), mark.begin(), mark.end());
    REQUIRE(file.end() - table > 31);
    // Shorter by one value: what stands behind the segment must not be read as the rest of its table.
    auto shorter = file;
    auto const at = table - file.begin();
    REQUIRE(shorter[static_cast<std::size_t>(at + 3)] == std::byte{31}); // two of length, 17 of header, 12 values
    shorter[static_cast<std::size_t>(at + 3)] = std::byte{30};
    CHECK_THROWS_WITH_AS(llamavision::image::decode(shorter, "p.jpg"),
                         doctest::Contains("a segment ends in its Huffman table at byte"), llamavision::image_error);
    // Longer by one byte: a second table of which there is only the number.
    auto longer = file;
    longer[static_cast<std::size_t>(at + 3)] = std::byte{32};
    CHECK_THROWS_WITH_AS(llamavision::image::decode(longer, "p.jpg"),
                         doctest::Contains("a segment ends in its Huffman table at byte"), llamavision::image_error);
}
