// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <llamavision/support/content_hash.hpp>

using llamavision::content_hash;

namespace {
std::vector<std::byte> content(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 131 >> 3);
    return bytes;
}
} // namespace

TEST_CASE("every bit counts, and so do the length and the order") {
    std::set<std::uint64_t> seen;
    std::set<std::string> contents;
    auto const add = [&](std::vector<std::byte> const& bytes) {
        contents.emplace(reinterpret_cast<char const*>(bytes.data()), bytes.size());
        seen.insert(content_hash(bytes));
    };
    for (std::size_t const size : {0u, 1u, 31u, 32u, 33u, 64u, 200u}) {
        std::vector<std::byte> bytes = content(size);
        add(bytes);
        for (std::size_t i = 0; i < 8 * size; ++i) {
            bytes[i / 8] ^= static_cast<std::byte>(1u << i % 8);
            add(bytes);
            bytes[i / 8] ^= static_cast<std::byte>(1u << i % 8);
        }
        bytes.push_back(std::byte{0});
        add(bytes);
    }
    CHECK(seen.size() == contents.size());
    std::vector<std::byte> bytes = content(256);
    auto const before = content_hash(bytes);
    std::swap_ranges(bytes.begin(), bytes.begin() + 32, bytes.begin() + 64);
    CHECK(content_hash(bytes) != before);
}

TEST_CASE("the same for any number of threads, over pieces of a megabyte") {
    llamavision::thread_pool pool(3);
    for (std::size_t const size : {std::size_t{100}, std::size_t{1} << 20, (std::size_t{1} << 21) + 7}) {
        std::vector<std::byte> bytes = content(size);
        auto const before = content_hash(bytes);
        CHECK(content_hash(bytes, &pool) == before);
        bytes[size - 1] ^= std::byte{1};
        CHECK(content_hash(bytes, &pool) != before);
    }
}
