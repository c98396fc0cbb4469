// SPDX-License-Identifier: Apache-2.0
// The GGUF format: what is written is read, and every fault of a file is refused with a message.
#include <llamavision/checkpoint/container/gguf.hpp>
#include <llamavision/checkpoint/write/gguf.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::string number(std::uint64_t value, std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(static_cast<unsigned char>(value >> 8 * i));
    return text;
}
std::string u32(std::uint64_t value) { return number(value, 4); }
std::string u64(std::uint64_t value) { return number(value, 8); }
std::string text(std::string const& value) { return u64(value.size()) + value; }

/// A file of its parts. The counts may be wrong.
std::string file(std::vector<std::string> const& keys, std::vector<std::string> const& tensors, std::size_t data = 64,
                 std::string const& version = u32(3)) {
    std::string all = "GGUF" + version + u64(tensors.size()) + u64(keys.size());
    for (auto const& key : keys) all += key;
    for (auto const& entry : tensors) all += entry;
    all.resize((all.size() + 31) / 32 * 32);
    return all + std::string(data, '\1');
}

/// A tensor's entry: dimensions fastest first.
std::string entry(std::string const& name, std::vector<std::uint64_t> const& dimensions, std::uint64_t type,
                  std::uint64_t offset) {
    std::string result = text(name) + u32(dimensions.size());
    for (auto const d : dimensions) result += u64(d);
    return result + u32(type) + u64(offset);
}

gguf_content parse(std::string const& bytes) {
    return parse_gguf(std::as_bytes(std::span(bytes.data(), bytes.size())), "x.gguf");
}

std::string fault(std::string const& bytes) {
    return message_of<error>([&] { return parse(bytes); });
}

constexpr std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();

} // namespace

TEST_CASE("a file that was written comes back") {
    temporary_folder const folder;
    auto const path = folder.path() / "x.gguf";
    std::vector<float> const values{1, 2, 3, 4, 5, 6};
    tensor const stored{dtype::f32, {2, 3}, std::as_bytes(std::span(values)), {}};
    tensor const made{dtype::q8_0, {1, 32}, {}, [](std::span<std::byte> to) { std::memset(to.data(), 7, to.size()); }};
    gguf_to_write out;
    out.keys = {{"whole", std::uint32_t{7}},
                {"real", 1e-5f},
                {"flag", true},
                {"words", std::string("a\0b", 3)},
                {"list", std::vector<std::int32_t>{3, 8}},
                {"strings", std::vector<std::string>{"", "x"}}};
    out.tensors = {{"stored", stored}, {"made", made}};
    std::size_t last = 0;
    write_gguf(path, out, [&](std::size_t done, std::size_t total) { last = done == total ? total : last; });
    CHECK(last == 24 + 34);

    auto const read = open_gguf(path);
    CHECK(read.version == 3);
    CHECK(read.find("whole")->natural() == 7);
    CHECK(read.find("real")->number() == 1e-5); // the shortest decimal
    CHECK(read.find("words")->text() == std::string_view("a\0b", 3));
    CHECK(read.find("list")->naturals(8) == std::vector<std::size_t>{3, 8});
    CHECK(read.find("strings")->texts() == std::vector<std::string>{"", "x"});
    CHECK_FALSE(read.find("nothing"));
    auto const& back = read.content.tensors.at("stored");
    CHECK(back.shape == std::vector<std::size_t>{2, 3});
    CHECK(std::memcmp(back.bytes.data(), values.data(), 24) == 0);
    CHECK(read.content.tensors.at("made").bytes.size() == 34);
    CHECK(read.content.tensors.at("made").bytes[33] == std::byte{7});
    for (auto const& named : read.content.tensors)
        CHECK(reinterpret_cast<std::uintptr_t>(named.second.bytes.data()) % gguf_alignment == 0);

    CHECK(contains(message_of<format_error>([&] { return read.find("words")->natural(); }),
                   R"(x.gguf: the key "words": expected an integer)"));
    CHECK(contains(message_of<format_error>([&] { return read.find("list")->naturals(7); }), "at most 7, found 8"));
    CHECK(contains(message_of<format_error>([&] { return read.find("whole")->texts(); }), "an array of strings"));
}

TEST_CASE("what GGUF cannot hold is not written, and the old file stays") {
    temporary_folder const folder;
    folder.write("x.gguf", "old");
    auto const refused = [&](gguf_to_write const& out) {
        auto const message = message_of<error>([&] {
            write_gguf(folder.path() / "x.gguf", out);
            return 0;
        });
        CHECK(std::filesystem::file_size(folder.path() / "x.gguf") == 3);
        return message;
    };
    std::vector<std::byte> const bytes(64);
    tensor const good{dtype::f32, {16}, bytes, {}};
    CHECK(contains(refused({{{"a", true}, {"a", true}}, {}}), "two values of the key \"a\""));
    CHECK(contains(refused({{}, {{"t", good}, {"t", good}}}), "two tensors named \"t\""));
    CHECK(contains(refused({{}, {{"t", {dtype::f32, {15}, bytes, {}}}}}), "the tensor \"t\" has a shape"));
    CHECK(contains(refused({{}, {{"t", {dtype::f32, {}, bytes, {}}}}}), "the tensor \"t\" has a shape"));
    CHECK(contains(refused({{}, {{"t", {dtype::u8, {64}, bytes, {}}}}}), "is U8, which GGUF has not"));
    auto const failing = [](std::span<std::byte>) { throw file_error("cut off"); };
    CHECK(contains(refused({{}, {{"t", {dtype::f32, {16}, {}, failing}}}}), "cut off"));
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("versions 2 and 3, any alignment, nested arrays") {
    auto const tensor_entry = entry("t", {2, 4}, 0, 0);
    CHECK(parse(file({}, {tensor_entry}, 64, u32(2))).version == 2);
    CHECK(parse(file({}, {tensor_entry})).content.tensors.at("t").shape == std::vector<std::size_t>{4, 2});
    auto const aligned = [](std::uint64_t alignment) { return text("general.alignment") + u32(4) + u32(alignment); };
    CHECK(parse(file({aligned(8)}, {entry("t", {2}, 0, 8)})).content.tensors.size() == 1);
    for (std::uint64_t const bad : {0u, 4u, 24u})
        CHECK(contains(fault(file({aligned(bad)}, {tensor_entry})), "general.alignment\": expected a power of two"));
    std::string const nested = text("n") + u32(9) + u32(9) + u64(2) + u32(9) + u64(1) + u32(8) + u64(1)
                               + text("deep")             // [[["deep"]],
                               + u32(0) + u64(3) + "abc"; //  [97, 98, 99]]
    CHECK(parse(file({nested, text("after") + u32(7) + "\1"}, {})).keys.size() == 2);
    std::string deep = text("d");
    deep += u32(9);
    for (int i = 0; i < 17; ++i) deep += u32(9) + u64(1);
    CHECK(contains(fault(file({deep + u32(0) + u64(0)}, {})), "more than 16 deep"));
}

TEST_CASE("files that are something else are called by name") {
    CHECK(contains(fault("version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"));
    CHECK(contains(fault("<!doctype html>"), "web page"));
    CHECK(contains(fault("PK\3\4 and more"), "does not begin with \"GGUF\""));
    CHECK(contains(fault("tjgg and so on"), "from before GGUF"));
    CHECK(contains(fault(file({}, {}, 0, u32(1))), "version 1"));
    CHECK(contains(fault(file({}, {}, 0, u32(4))), "version 4; 2 and 3 are supported"));
    CHECK(contains(fault(file({}, {}, 0, u32(0x03000000))), "big-endian"));
    CHECK(contains(fault(file({}, {entry("t", {256}, 10, 0)})),
                   "the tensor \"t\" has the type Q2_K, which is not supported"));
    CHECK(contains(fault(file({}, {entry("t", {256}, 99, 0)})), "the type 99, which this library does not know"));
}

TEST_CASE("counts, extents and offsets are held against the file's size") {
    std::string const head = "GGUF" + u32(3);
    CHECK(contains(fault(head + u64(0) + u64(huge)), "are more than the file has room for"));
    CHECK(contains(fault(head + u64(huge) + u64(0)), "are more than the file has room for"));
    CHECK(contains(fault(head + u64(0) + u64(1) + u64(huge) + std::string(40, 'x')),
                   "a key should have 18446744073709551615"));
    auto const key = [](std::string const& value) { return file({text("k") + value}, {}, 0); };
    CHECK(contains(fault(key(u32(13))), "the type of a value is 13"));
    CHECK(contains(fault(key(u32(8) + u64(huge))), "a string should have"));
    CHECK(contains(fault(key(u32(9) + u32(10) + u64(huge / 8 + 1))), "are more than the file has room for"));
    CHECK(contains(fault(key(u32(9) + u32(9) + u64(huge / 12))), "are more than the file has room for"));
    CHECK(contains(fault(file({text("k") + u32(7) + "\1", text("k") + u32(7) + "\1"}, {})),
                   "the key \"k\" occurs twice"));

    auto const one = [](std::vector<std::uint64_t> const& dimensions, std::uint64_t type, std::uint64_t offset) {
        return fault(file({}, {entry("t", dimensions, type, offset)}));
    };
    CHECK(one({16}, 0, 0) == "nothing was thrown");
    CHECK(contains(one({17}, 0, 0), "takes 68 bytes from byte 0 of the data on, but the file holds only 64"));
    CHECK(contains(one({8}, 0, 8), "not a multiple of the alignment, 32"));
    CHECK(contains(one({8}, 0, huge - 31), "is it cut off?"));
    CHECK(contains(one({8}, 0, 64), "is it cut off?"));
    CHECK(contains(one({huge, huge}, 0, 0), "more values than can be counted"));
    CHECK(contains(one({std::uint64_t{1} << 32, std::uint64_t{1} << 30}, 1, 0), "more values than can be counted"));
    CHECK(contains(one({1, 1, 1, 1, 1}, 0, 0), "has 5 dimensions"));
    CHECK(contains(one({33}, 8, 0), "rows of 33 values, which are no whole blocks of 32 (Q8_0)"));
    CHECK(contains(one({128, 2}, 12, 0), "rows of 128 values, which are no whole blocks of 256 (Q4_K)"));
    CHECK(one({0, huge}, 0, 0) == "nothing was thrown");
    CHECK(contains(fault(file({}, {entry("a", {16}, 0, 0), entry("b", {8}, 0, 32)})),
                   "\"a\" and \"b\" overlap at byte 32"));
    CHECK(contains(fault(file({}, {entry("a", {8}, 0, 0), entry("a", {8}, 0, 32)})), "the tensor \"a\" occurs twice"));
}

TEST_CASE("a file cut anywhere is refused") {
    std::string const whole =
        file({text("k") + u32(9) + u32(8) + u64(2) + text("a") + text("bc")}, {entry("t", {16}, 0, 0)});
    REQUIRE(fault(whole) == "nothing was thrown");
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CAPTURE(length);
        CHECK(contains(fault(whole.substr(0, length)), "x.gguf: "));
    }
}
