// SPDX-License-Identifier: Apache-2.0
// The safetensors writer: files can be read, are the same every time, and an old file stays if writing fails.
#include <llamavision/checkpoint/write/safetensors.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"

#include <algorithm>
#include <cstring>
#include <doctest/doctest.h>
#include <iterator>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::span<std::byte const> bytes_of_text(std::string const& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

std::ptrdiff_t files_in(std::filesystem::path const& folder) {
    return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

} // namespace

TEST_CASE("tensors read back, aligned to their elements, whatever order they come in") {
    temporary_folder const folder;
    std::string const eight(16, '8'), four(12, '4'), two(6, '2'), one = "1";
    std::vector<tensor_to_write> tensors = {{"d", dtype::u8, {1}, bytes_of_text(one)},
                                            {"b", dtype::bf16, {3}, bytes_of_text(two)},
                                            {"c", dtype::f32, {3, 1}, bytes_of_text(four)},
                                            {"a", dtype::i64, {2}, bytes_of_text(eight)},
                                            {"e", dtype::f32, {0, 5}, {}}};
    auto const path = folder.path() / "t.safetensors";
    write_safetensors(path, tensors, {{"format", "pt"}, {"z", "\xc3\xa9"}});
    auto const first = text_of_file(path);

    auto const read = open_safetensors(path);
    CHECK(read.metadata.at("format") == "pt");
    CHECK(read.metadata.at("z") == "\xc3\xa9");
    REQUIRE(read.content.tensors.size() == tensors.size());
    for (auto const& t : tensors) {
        auto const& found = read.content.tensors.at(t.name);
        CHECK(found.type == t.type);
        CHECK(found.shape == t.shape);
        CHECK(std::equal(found.bytes.begin(), found.bytes.end(), t.bytes.begin(), t.bytes.end()));
        CHECK(reinterpret_cast<std::uintptr_t>(found.bytes.data()) % size_of(found.type) == 0);
    }
    std::reverse(tensors.begin(), tensors.end());
    write_safetensors(path, tensors, {{"format", "pt"}, {"z", "\xc3\xa9"}});
    CHECK(text_of_file(path) == first);
    CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("no tensors make a file as well") {
    temporary_folder const folder;
    write_safetensors(folder.path() / "t", {});
    CHECK(text_of_file(folder.path() / "t") == std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
}

TEST_CASE("what cannot be written leaves the old file") {
    temporary_folder const folder;
    auto const path = folder.write("t.safetensors", "old");
    std::string const text = "1234";
    auto const fault = [&](std::vector<tensor_to_write> const& tensors) {
        return message_of<error>([&] { write_safetensors(path, tensors); });
    };
    CHECK(contains(fault({{"a", dtype::u8, {4}, bytes_of_text(text)}, {"a", dtype::u8, {4}, bytes_of_text(text)}}),
                   "two tensors named \"a\""));
    CHECK(contains(fault({{"__metadata__", dtype::u8, {4}, bytes_of_text(text)}}), "__metadata__"));
    CHECK(contains(fault({{"a", dtype::f32, {2}, bytes_of_text(text)}}), "\"a\" has 4 bytes"));
    CHECK(contains(fault({{"\xff", dtype::u8, {4}, bytes_of_text(text)}}), "not valid UTF-8"));
    CHECK(text_of_file(path) == "old");
    CHECK(files_in(folder.path()) == 1);

    CHECK(contains(message_of<file_error>([&] { write_safetensors(folder.path() / "none" / "t", {}); }),
                   "cannot be opened for writing"));
    CHECK(contains(message_of<file_error>([&] { write_safetensors(folder.path(), {}); }), "is a folder"));
}

TEST_CASE("links stay links, and a device is written into, not replaced") {
    temporary_folder const folder;
    auto const path = folder.write("target", "old");
    std::filesystem::create_symlink("target", folder.path() / "link");
    write_safetensors(folder.path() / "link", {});
    CHECK(std::filesystem::is_symlink(folder.path() / "link"));
    CHECK(text_of_file(path).size() == 16);
    if (std::filesystem::is_character_file("/dev/null")) {
        write_safetensors("/dev/null", {});
        CHECK(std::filesystem::is_character_file("/dev/null"));
    }
    if (std::filesystem::is_character_file("/dev/full")) {
        std::string const large(100'000, 'x');
        std::vector<tensor_to_write> const tensors = {{"a", dtype::u8, {large.size()}, bytes_of_text(large)}};
        CHECK(contains(message_of<file_error>([&] { write_safetensors("/dev/full", tensors); }), "cannot be written"));
    }
}
