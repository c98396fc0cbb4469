// SPDX-License-Identifier: Apache-2.0
// The two small text models of tests/golden, their numbers as types, and ways to compare and change them.
#pragma once

#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>
#include <llamavision/config/configuration.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"

#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace text_models {

namespace cp = llamavision::checkpoint;

/// Like Llama 3.2 1B: the head is the embedding.
struct tied {
    static constexpr std::string_view name = "llama_tied";
    struct text {
        static constexpr std::size_t width = 128, mlp = 36, heads = 2, kv_heads = 1, layers = 2;
        static constexpr bool tied_head = true;
        static constexpr std::size_t vocabulary = 200, context = 131072;
        static constexpr float norm_eps = 1e-5f;
        static constexpr llamavision::config::rope_numbers rope{500000.0, true, 32.0, 1.0, 4.0, 8192};
    };
};

/// Like Llama 3.1 8B.
struct untied {
    static constexpr std::string_view name = "llama_untied";
    struct text {
        static constexpr std::size_t width = 36, mlp = 44, heads = 6, kv_heads = 2, layers = 3;
        static constexpr bool tied_head = false;
        static constexpr std::size_t vocabulary = 270, context = 16384;
        static constexpr float norm_eps = 2e-3f;
        static constexpr llamavision::config::rope_numbers rope{500000.0, true, 8.0, 1.0, 4.0, 8192};
    };
};

inline std::filesystem::path folder(std::string_view name) {
    return std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden" / name / "hf";
}

template <class C>
cp::opened const& reference() {
    static cp::opened const read = cp::open(folder(C::name));
    return read;
}

inline std::vector<std::byte> content(cp::tensor const& t) {
    std::vector<std::byte> room;
    auto const bytes = cp::bytes_of(t, room);
    return {bytes.begin(), bytes.end()};
}

inline void check_same(cp::named_tensors const& a, cp::named_tensors const& b) {
    CHECK(a.tensors.size() == b.tensors.size());
    for (auto const& entry : a.tensors) {
        cp::tensor const& value = entry.second;
        CAPTURE(entry.first);
        auto const other = b.tensors.find(entry.first);
        REQUIRE(other != b.tensors.end());
        CHECK(value.type == other->second.type);
        CHECK(value.shape == other->second.shape);
        CHECK(content(value) == content(other->second));
    }
}

/// The bytes of one row of a matrix.
inline std::vector<std::byte> row(cp::tensor const& t, std::size_t index) {
    auto const all = content(t);
    auto const size = static_cast<std::ptrdiff_t>(all.size() / t.shape[0]);
    auto const begin = all.begin() + static_cast<std::ptrdiff_t>(index) * size;
    return {begin, begin + size};
}

/// Whether the rows of `pairs` are those of `halves` in the order of Meta and llama.cpp: of each head of d rows, rows i
/// and i + d/2 stand beside each other.
inline bool are_rotary_pairs(cp::tensor const& pairs, cp::tensor const& halves, std::size_t head_dim) {
    for (std::size_t begin = 0; begin < halves.shape[0]; begin += head_dim)
        for (std::size_t i = 0; i < head_dim / 2; ++i)
            if (row(pairs, begin + 2 * i) != row(halves, begin + i)
                || row(pairs, begin + 2 * i + 1) != row(halves, begin + head_dim / 2 + i))
                return false;
    return pairs.shape == halves.shape;
}

/// Writes tensors as they are, as model.safetensors.
inline void write_weights(std::filesystem::path const& to, cp::named_tensors const& all) {
    std::vector<cp::tensor_to_write> list;
    for (auto const& [name, value] : all.tensors) list.push_back({name, value.type, value.shape, value.bytes, {}});
    cp::write_safetensors(to / "model.safetensors", list);
}

/// A copy of a golden folder, to be changed.
class copy : public temporary_folder {
  public:
    explicit copy(std::string_view name) { std::filesystem::copy(folder(name), path()); }

    void state(std::string const& key, nlohmann::json const& value) const {
        auto document = nlohmann::json::parse(text_of_file(path() / "config.json"));
        document[key] = value;
        write("config.json", document.dump());
    }
};

template <class E = llamavision::error>
std::string fault(std::filesystem::path const& path) {
    return message_of<E>([&] { return cp::open(path); });
}

} // namespace text_models
