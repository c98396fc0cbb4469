// SPDX-License-Identifier: Apache-2.0
// Tensors written in pieces, in other types, and in several files are read as what was written.
#include <llamavision/checkpoint/form/hugging_face/shards.hpp>
#include <llamavision/checkpoint/write/shards.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef __unix__
#include <csignal>
#include <sys/resource.h>
#endif

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

tensor floats(std::vector<float> const& values) {
    return {dtype::f32, {values.size()}, std::as_bytes(std::span(values)), {}};
}

template <class T>
std::vector<float> values_in(tensor const& t) {
    std::vector<float> result;
    for (std::size_t i = 0; i < values_of(t); ++i) result.push_back(checkpoint::detail::element<T>(t.bytes.data(), i));
    return result;
}

std::size_t entries(std::filesystem::path const& folder) {
    std::size_t count = 0;
    for (auto const& entry : std::filesystem::directory_iterator(folder)) count += entry.exists() ? 1 : 0;
    return count;
}

} // namespace

TEST_CASE("a tensor in another type is rounded, and what was lost is counted") {
    std::vector<float> const values{1.0f, 1.00390625f, 1e6f, -1e-9f, std::numeric_limits<float>::infinity(), NAN};
    tensor const source = floats(values);
    temporary_folder const folder;
    auto const path = folder.path() / "t";
    rounding to_bf16, to_f16, to_f32;
    std::vector<tensor_to_write> const all{converted("b", source, dtype::bf16, to_bf16),
                                           converted("h", source, dtype::f16, to_f16),
                                           converted("f", source, dtype::f32, to_f32)};
    write_safetensors(path, all);
    auto const read = read_safetensors(path);
    auto const b = values_in<bf16>(read.tensors.at("b")), h = values_in<f16>(read.tensors.at("h"));
    CHECK(b[1] == 1.0f); // a tie, to even
    CHECK(h[1] == 1.00390625f);
    CHECK(std::isinf(h[2]));
    CHECK(h[3] == 0.0f);
    CHECK(std::isinf(b[4]));
    CHECK(std::isnan(b[5]));
    CHECK(std::memcmp(read.tensors.at("f").bytes.data(), values.data(), source.bytes.size()) == 0);
    CHECK(to_bf16.changed == 3);
    CHECK(to_bf16.infinite == 0);
    CHECK(to_f16.changed == 2);
    CHECK(to_f16.infinite == 1);
    CHECK(to_f32.changed == 0);

    rounding widened, back;
    tensor const wide{dtype::f32, {values.size()}, read.tensors.at("f").bytes, {}};
    std::vector<tensor_to_write> const two{converted("b", read.tensors.at("b"), dtype::f32, widened),
                                           converted("c", wide, dtype::bf16, back)};
    write_safetensors(folder.path() / "u", two);
    CHECK(values_in<float>(read_safetensors(folder.path() / "u").tensors.at("b"))[1] == 1.0f);
    CHECK(widened.changed == 0);
    CHECK(back.changed == 3);

    tensor const integer{dtype::i8, {1}, {}, {}};
    std::vector<tensor_to_write> const wrong{converted("q", integer, dtype::bf16, back)};
    CHECK(
        contains(message_of<mismatch_error>([&] { write_safetensors(path, wrong); }), "I8 cannot be written as BF16"));
}

TEST_CASE("tensors larger than a piece, made or not, arrive whole") {
    std::size_t const count = piece_bytes / 2 + 12345; // 2 bytes each: more than one piece
    std::vector<std::byte> bytes(2 * count);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>((i / 2 * 31 + i) & 0x3F);
    tensor const plain{dtype::bf16, {count}, bytes, {}};
    tensor const made{
        dtype::bf16, {count}, {}, [&](std::span<std::byte> to) { std::memcpy(to.data(), bytes.data(), to.size()); }};
    rounding lost;
    std::vector<tensor_to_write> const all{converted("plain", plain, dtype::bf16, lost),
                                           converted("made", made, dtype::f32, lost)};
    temporary_folder const folder;
    std::vector<std::size_t> steps;
    write_safetensors(folder.path() / "t", all, {}, [&](std::size_t done, std::size_t total) {
        CHECK(total == 6 * count);
        steps.push_back(done);
    });
    CHECK(steps.size() >= 4);
    CHECK(std::is_sorted(steps.begin(), steps.end()));
    CHECK(steps.back() == 6 * count);
    auto const read = read_safetensors(folder.path() / "t");
    CHECK(std::memcmp(read.tensors.at("plain").bytes.data(), bytes.data(), bytes.size()) == 0);
    CHECK(values_in<float>(read.tensors.at("made")) == values_in<bf16>(plain));
}

TEST_CASE("blocks are widened in pieces, and their rounding is counted") {
    std::size_t const count = 3 * piece_bytes / 4 / 32 * 32;
    std::vector<std::byte> bytes(count / 32 * 34);
    for (std::size_t b = 0; b < bytes.size() / 34; ++b) {
        bytes[34 * b + 1] = std::byte{0x3c}; // a scale of 1
        for (std::size_t i = 0; i < 32; ++i) bytes[34 * b + 2 + i] = static_cast<std::byte>((b + i) % 100);
    }
    bytes[0] = std::byte{0x01}; // the first block's is 1 + 2^-10, whose products BF16 has to round
    tensor const blocks{dtype::q8_0, {count}, bytes, {}};
    rounding wide, narrow;
    std::vector<tensor_to_write> const all{converted("f", blocks, dtype::f32, wide),
                                           converted("b", blocks, dtype::bf16, narrow)};
    temporary_folder const folder;
    write_safetensors(folder.path() / "t", all);
    auto const read = read_safetensors(folder.path() / "t");
    auto const f = values_in<float>(read.tensors.at("f")), b = values_in<bf16>(read.tensors.at("b"));
    std::size_t wrong = 0, rounded = 0;
    for (std::size_t i = 0; i < count; ++i) {
        float const value = static_cast<float>((i / 32 + i % 32) % 100) * (i < 32 ? 1.0f + 0x1p-10f : 1.0f);
        if (f[i] != value || b[i] != static_cast<float>(bf16::round(value))) ++wrong;
        if (b[i] != value) ++rounded;
    }
    CHECK(wrong == 0);
    CHECK(wide.changed == 0);
    CHECK(rounded == 31);
    CHECK(narrow.changed == rounded);
}

TEST_CASE("what pours too few or too many bytes, or stops, leaves the old file") {
    temporary_folder const folder;
    auto const path = folder.write("t", "old");
    std::vector<std::byte> const bytes(8);
    auto const pouring = [&](std::size_t size) {
        return std::vector<tensor_to_write>{{"a", dtype::f32, {2}, {}, [&bytes, size](byte_sink const& sink) {
                                                 for (std::size_t i = 0; i < size; i += 4)
                                                     sink(std::span(bytes).first(4));
                                             }}};
    };
    CHECK(contains(message_of<argument_error>([&] { write_safetensors(path, pouring(4)); }), "4 bytes, not 8"));
    CHECK(contains(message_of<argument_error>([&] { write_safetensors(path, pouring(12)); }), "too many bytes"));
    CHECK_THROWS_AS(
        write_safetensors(path, pouring(8), {}, [](std::size_t, std::size_t) { throw std::runtime_error("stop"); }),
        std::runtime_error);
    CHECK(text_of_file(path) == "old");
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("where shards end") {
    std::vector<std::size_t> const sizes{5, 5, 20, 1, 2, 3};
    using ends = std::vector<std::size_t>;
    CHECK(shard_ends(sizes, {10, 0}) == ends{2, 3, 6});
    CHECK(shard_ends(sizes, {11, 0}) == ends{2, 3, 6});
    CHECK(shard_ends(sizes, {1000, 0}) == ends{6});
    CHECK(shard_ends(sizes, {1, 0}) == ends{1, 2, 3, 4, 5, 6});
    CHECK(shard_ends(sizes, {1000, 1}) == ends{6});
    CHECK(shard_ends(sizes, {1000, 2}) == ends{3, 6});
    CHECK(shard_ends({}, {}) == ends{0});
    CHECK_THROWS_AS(static_cast<void>(shard_ends(sizes, {0, 0})), argument_error);
    CHECK(shard_name(1, 1) == "model.safetensors");
    CHECK(shard_name(2, 30) == "model-00002-of-00030.safetensors");
    CHECK(shard_name(123456, 123456) == "model-123456-of-123456.safetensors");
}

TEST_CASE("shards and their index read back as one") {
    temporary_folder const folder;
    std::vector<float> const values{1, 2, 3, 4, 5, 6};
    tensor const source = floats(values);
    rounding lost;
    std::vector<tensor_to_write> all;
    for (char const name : {'a', 'b', 'c', 'd', 'e'})
        all.push_back(converted(std::string("vision_model.") + name, source, dtype::f32, lost));
    std::size_t last = 0;
    write_sharded(folder.path(), all, {.bytes = 48}, [&](std::size_t done, std::size_t total) {
        CHECK(total == 120);
        CHECK(done >= last);
        last = done;
    });
    CHECK(last == 120);
    CHECK(entries(folder.path()) == 4);
    auto const weights = find_weights(folder.path());
    CHECK(weights.files.size() == 3);
    CHECK(weights.located.at("vision_model.e") == "model-00003-of-00003.safetensors");
    auto const read = read_weights(weights);
    REQUIRE(read.tensors.size() == 5);
    for (auto const& found : read.tensors) CHECK(values_in<float>(found.second) == values);
    CHECK(contains(text_of_file(folder.path() / "model.safetensors.index.json"), "\"total_size\": 120"));
    all.push_back(all.front());
    CHECK_THROWS_AS(write_sharded(folder.path(), all, {.bytes = 48}), argument_error);
}

#ifdef __unix__
TEST_CASE("a file that may not grow is an error that leaves the old file") {
    temporary_folder const folder;
    auto const path = folder.write("t", "old");
    std::vector<std::byte> const bytes(100'000);
    std::vector<tensor_to_write> const all{{"a", dtype::u8, {bytes.size()}, bytes, {}}};
    auto* const before = std::signal(SIGXFSZ, SIG_IGN);
    rlimit old{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
    rlimit small = old;
    small.rlim_cur = 50'000;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    auto const message = message_of<file_error>([&] { write_safetensors(path, all); });
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
    std::signal(SIGXFSZ, before);
    CHECK(contains(message, "cannot be written"));
    CHECK(text_of_file(path) == "old");
    CHECK(entries(folder.path()) == 1);
}
#endif
