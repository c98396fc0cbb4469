// SPDX-License-Identifier: Apache-2.0
// The archive and the pickle for torch.load: their layout, where it matters byte by byte. tests/golden/convert.py
// checks that torch reads them.
#include <llamavision/checkpoint/write/pth.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"

#include <cstring>
#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::uint64_t number_at(std::string const& text, std::size_t at, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i)
        value |= std::uint64_t{static_cast<unsigned char>(text.at(at + i))} << (8 * i);
    return value;
}

std::uint32_t checksum_of(std::string const& text) {
    crc32 sum;
    sum.add(std::as_bytes(std::span(text.data(), text.size())));
    return sum.value();
}

} // namespace

TEST_CASE("crc32: the standard's check value, in one go and in pieces") {
    CHECK(checksum_of("123456789") == 0xCBF43926u);
    CHECK(checksum_of("") == 0);
    std::string text;
    for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7);
    crc32 pieces;
    for (std::size_t at = 0; at < text.size(); at += 37)
        pieces.add(std::as_bytes(std::span(text.data() + at, std::min<std::size_t>(37, text.size() - at))));
    CHECK(pieces.value() == checksum_of(text));
}

TEST_CASE("every storage lies at a multiple of 64 bytes, stored, its size and checksum behind it") {
    temporary_folder const folder;
    auto const path = folder.path() / "consolidated.00.pth";
    std::string const first(10, 'a'), second(12, 'b');
    std::vector<tensor_to_write> const all{
        {"text_model.norm.weight", dtype::bf16, {5}, std::as_bytes(std::span(first.data(), 10)), {}},
        {"x", dtype::f32, {3, 1}, std::as_bytes(std::span(second.data(), 12)), {}}};
    write_pth(path, all);
    auto const text = text_of_file(path);
    for (auto const& [name, data] : {std::pair("consolidated.00/data/0", first), {"consolidated.00/data/1", second}}) {
        auto const at = text.find(name);
        REQUIRE(at != std::string::npos);
        std::size_t const header = at - 30;
        CHECK(number_at(text, header, 4) == 0x04034b50);
        CHECK(number_at(text, header + 6, 2) == 0x0808);
        CHECK(number_at(text, header + 8, 2) == 0);
        std::size_t const begin = header + 30 + number_at(text, header + 26, 2) + number_at(text, header + 28, 2);
        CHECK(begin % 64 == 0);
        CHECK(text.substr(begin, data.size()) == data);
        CHECK(number_at(text, begin + data.size(), 4) == 0x08074b50);
        CHECK(number_at(text, begin + data.size() + 4, 4) == checksum_of(data));
        CHECK(number_at(text, begin + data.size() + 8, 4) == data.size());
    }
    std::size_t const end = text.size() - 22; // the old end record
    CHECK(number_at(text, end, 4) == 0x06054b50);
    CHECK(number_at(text, end + 10, 2) == 5); // members
    CHECK(number_at(text, end - 20, 4) == 0x07064b50);
    CHECK(number_at(text, number_at(text, end - 12, 8), 4) == 0x06064b50);
    std::size_t member = number_at(text, end + 16, 4);
    for (int i = 0; i < 5; ++i) { // the directory names each member's header, and ends where the end begins
        CHECK(number_at(text, member, 4) == 0x02014b50);
        CHECK(number_at(text, number_at(text, member + 42, 4), 4) == 0x04034b50);
        member += 46 + number_at(text, member + 28, 2) + number_at(text, member + 30, 2);
    }
    CHECK(member == number_at(text, end - 12, 8));

    std::string const pickle = text.substr(text.find("\x80\x02"));
    CHECK(pickle.find("ctorch\nBFloat16Storage\n") != std::string::npos);
    CHECK(pickle.find("ctorch\nFloatStorage\n") != std::string::npos);
}

TEST_CASE("what torch cannot hold is refused") {
    temporary_folder const folder;
    auto const path = folder.write("c.pth", "old");
    std::string const four = "1234";
    auto const bytes = std::as_bytes(std::span(four.data(), 4));
    std::vector<tensor_to_write> const integers{{"a", dtype::i32, {1}, bytes, {}}};
    CHECK(contains(message_of<argument_error>([&] { write_pth(path, integers); }), "I32"));
    std::vector<tensor_to_write> const twice{{"a", dtype::f32, {1}, bytes, {}}, {"a", dtype::f32, {1}, bytes, {}}};
    CHECK(contains(message_of<argument_error>([&] { write_pth(path, twice); }), "two tensors named \"a\""));
    std::vector<tensor_to_write> const huge{{"a", dtype::f32, {SIZE_MAX / 2, 3}, {}, {}}};
    CHECK(contains(message_of<argument_error>([&] { write_pth(path, huge); }), "too large"));
    CHECK(text_of_file(path) == "old");
}
