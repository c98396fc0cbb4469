// SPDX-License-Identifier: Apache-2.0
// The safetensors reader: correct files, and every fault of a file.
#include <llamavision/checkpoint/container/safetensors.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"

#include <cstring>
#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::string file_of(std::string const& header, std::string const& data) {
    std::string result;
    for (std::size_t i = 0; i < 8; ++i)
        result += static_cast<char>(static_cast<unsigned char>(header.size() >> (8 * i)));
    return result + header + data;
}

safetensors_content parse(std::string const& file) {
    return parse_safetensors(std::as_bytes(std::span(file.data(), file.size())), "x.safetensors");
}

std::string fault(std::string const& file) {
    return message_of<format_error>([&] { return parse(file); });
}

std::string fault(std::string const& header, std::size_t data) {
    return fault(file_of(header, std::string(data, 'x')));
}

/// A tensor's entry: {"dtype": type, "shape": shape, "data_offsets": [begin, end]}
std::string entry(std::string const& type, std::string const& shape, std::string const& begin, std::string const& end) {
    return R"({"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":[)" + begin + "," + end + "]}";
}

} // namespace

TEST_CASE("a file's tensors, in any order, with odd offsets, scalars and empty shapes") {
    auto const file = file_of(R"({"z":)" + entry("F32", "[2]", "1", "9") + R"(,"__metadata__":{"format":"pt"},"a":)"
                                  + entry("U8", "[1,1]", "0", "1") + R"(,"s":)" + entry("BF16", "[]", "9", "11")
                                  + R"(,"none":)" + entry("F16", "[3,0]", "9", "9") + "}   ",
                              "0123456789A");
    auto const result = parse(file);
    auto const& tensors = result.content.tensors;
    CHECK(tensors.size() == 4);
    CHECK(result.metadata.at("format") == "pt");
    CHECK(tensors.at("z").type == dtype::f32);
    CHECK(tensors.at("z").shape == std::vector<std::size_t>{2});
    CHECK(std::memcmp(tensors.at("z").bytes.data(), "12345678", 8) == 0);
    CHECK(tensors.at("s").shape.empty());
    CHECK(tensors.at("s").bytes.size() == 2);
    CHECK(tensors.at("none").bytes.empty());
}

TEST_CASE("every element type has its name and size") {
    std::pair<char const*, std::size_t> const types[] = {
        {"BOOL", 1}, {"U8", 1},   {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}, {"I16", 2}, {"U16", 2},
        {"F16", 2},  {"BF16", 2}, {"I32", 4}, {"U32", 4},     {"F32", 4},     {"I64", 8},     {"U64", 8}, {"F64", 8}};
    for (auto const& [name, size] : types) {
        auto const result =
            parse(file_of(R"({"t":)" + entry(name, "[1]", "0", std::to_string(size)) + "}", std::string(size, 0)));
        CHECK(name_of(result.content.tensors.at("t").type) == name);
    }
    CHECK(contains(fault(R"({"t":)" + entry("C64", "[1]", "0", "8") + "}", 8),
                   R"(t.dtype: expected a known element type, found "C64")"));
    CHECK(contains(fault(R"({"t":)" + entry("f32", "[1]", "0", "4") + "}", 4), "known element type"));
}

TEST_CASE("a file without tensors is a file") { CHECK(parse(file_of("{}", "")).content.tensors.empty()); }

TEST_CASE("a file cut at any byte, or with a byte more, is refused") {
    auto const file = file_of(R"({"__metadata__":{"a":"b"},"t":)" + entry("F32", "[2,2]", "0", "16") + R"(,"u":)"
                                  + entry("F16", "[1]", "16", "18") + "}",
                              std::string(18, 'x'));
    CHECK_NOTHROW(static_cast<void>(parse(file)));
    for (std::size_t size = 0; size < file.size(); ++size)
        CHECK_MESSAGE(contains(fault(file.substr(0, size)), "x.safetensors: "), size);
    CHECK(contains(fault(file + "y"), "the last 1 bytes of the file belong to no tensor"));
}

TEST_CASE("any byte of the header may be wrong without harm") {
    auto const file = file_of(R"({"t":)" + entry("F32", "[2,2]", "0", "16") + "}", std::string(16, 'x'));
    std::size_t refused = 0;
    for (std::size_t at = 0; at < file.size() - 16; ++at)
        for (int value = 0; value < 256; ++value) {
            auto changed = file;
            changed[at] = static_cast<char>(static_cast<unsigned char>(value));
            try {
                auto const result = parse(changed); // a changed name of a tensor is no fault
                for (auto const& [name, t] : result.content.tensors) REQUIRE(t.bytes.size() <= 16);
            } catch (format_error const&) { ++refused; }
        }
    CHECK(refused > 10'000);
}

TEST_CASE("the header's length") {
    CHECK(contains(fault(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8)),
                   "18446744073709551615, the format's limit is 100000000"));
    CHECK(contains(fault(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8)), "100000001, the format's limit"));
    CHECK(contains(fault(std::string("\x00\xe1\xf5\x05\0\0\0\0{}", 10)),
                   "should have 100000000 bytes, but the file ends after 2"));
    CHECK(contains(fault(file_of("", "")), "does not begin with \"{\""));
    CHECK(contains(fault(file_of(" {}", "")), "does not begin with \"{\""));
    CHECK(contains(fault(file_of("[]", "")), "does not begin with \"{\""));
    CHECK(contains(fault(file_of("{}x", "")), "not valid JSON at byte 2"));
}

TEST_CASE("offsets, shapes and sizes") {
    auto const one = [](std::string const& shape, std::string const& begin, std::string const& end) {
        return R"({"t":)" + entry("F32", shape, begin, end) + "}";
    };
    CHECK(contains(fault(one("[2]", "0", "8"), 4), "t: the bytes 0 to 8 lie beyond the end of the file"));
    CHECK(contains(fault(one("[2]", "8", "0"), 8), "end before they begin"));
    CHECK(contains(fault(one("[3]", "0", "8"), 8), "not as many as the shape and F32 need: 12"));
    CHECK(contains(fault(one("[]", "0", "8"), 8), "need: 4"));
    CHECK(contains(fault(one("[-1]", "0", "8"), 8), "t.shape[0]: expected a non-negative integer, found -1"));
    CHECK(contains(fault(one("[2.0]", "0", "8"), 8), "expected a non-negative integer, found 2.0"));
    CHECK(contains(fault(one("2", "0", "8"), 8), "t.shape: expected a list, found 2"));
    CHECK(contains(fault(one("[4294967296,4294967296]", "0", "8"), 8), "more than can be counted"));
    CHECK(contains(fault(one("[4611686018427387904]", "0", "0"), 0), "more than can be counted"));
    CHECK(contains(fault(one("[18446744073709551615,2,0]", "0", "4"), 4), "need: 0"));
    CHECK(contains(fault(one("[2]", "18446744073709551615", "18446744073709551615"), 8), "beyond the end"));
    CHECK(contains(fault(one("[2]", "1e3", "8"), 8), "data_offsets[0]: expected a non-negative integer"));
    CHECK(contains(fault(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8), "expected two offsets"));
    CHECK(contains(fault(R"({"t":{"shape":[2],"data_offsets":[0,8]}})", 8), R"(t: the key "dtype" is missing)"));
    CHECK(contains(fault(R"({"t":5})", 8), "t: expected an object, found 5"));
    CHECK(contains(fault(R"({"__metadata__":{"a":5}})", 0), "__metadata__.a: expected text, found 5"));
}

TEST_CASE("the tensors must tile the data") {
    auto const two = [](std::string const& b0, std::string const& e0, std::string const& b1, std::string const& e1) {
        return R"({"a":)" + entry("U8", "[4]", b0, e0) + R"(,"b":)" + entry("U8", "[4]", b1, e1) + "}";
    };
    CHECK(fault(two("0", "4", "4", "8"), 8) == "nothing was thrown");
    CHECK(fault(two("4", "8", "0", "4"), 8) == "nothing was thrown");
    CHECK(contains(fault(two("0", "4", "3", "7"), 7), R"(the tensors "a" and "b" overlap at byte 3)"));
    CHECK(contains(fault(two("0", "4", "0", "4"), 4), "overlap at byte 0"));
    CHECK(contains(fault(two("0", "4", "5", "9"), 9),
                   R"(bytes 4 to 5 of the data, before the tensor "b", belong to no tensor)"));
    CHECK(contains(fault(two("1", "5", "5", "9"), 9), "bytes 0 to 1 of the data"));
    CHECK(contains(fault(two("0", "4", "4", "8"), 9), "last 1 bytes"));
    CHECK(contains(fault("{}", 1), "last 1 bytes"));
}

TEST_CASE("JSON that only looks right") {
    auto const t = entry("U8", "[1]", "0", "1");
    CHECK(contains(fault(R"({"t":)" + t + R"(,"t":)" + t + "}", 1), R"(the key "t" occurs twice)"));
    CHECK(contains(fault(R"({"t":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), "occurs twice"));
    CHECK(contains(fault(R"({"a":)" + std::string(100'000, '['), 0), "nested more than"));
    CHECK(contains(fault("{\"\xff\":" + t + "}", 1), "not valid JSON"));
}

TEST_CASE("files, and what is no file") {
    temporary_folder const folder;
    auto const at = folder.write("a.safetensors", file_of(R"({"t":)" + entry("U8", "[3]", "0", "3") + "}", "xyz"));
    named_tensors kept;
    { kept = read_safetensors(at); }
    CHECK(std::memcmp(kept.tensors.at("t").bytes.data(), "xyz", 3) == 0); // the owner keeps the mapping
    CHECK(open_safetensors(at).metadata.empty());

    auto const open_fault = [&](std::filesystem::path const& path) {
        return message_of<error>([&] { return open_safetensors(path); });
    };
    CHECK(contains(open_fault(folder.path() / "none"), "none: no such file"));
    CHECK(contains(open_fault(folder.path()), "is a folder, not a file"));
    CHECK(contains(open_fault(folder.write("empty", "")), "empty: is empty"));
    CHECK(contains(open_fault(folder.write("lfs", "version https://git-lfs.github.com/spec/v1\n")),
                   "lfs: this is a Git LFS pointer"));
    CHECK(contains(open_fault(folder.write("page", "<!doctype html>")), "page: this is a web page"));
}
