// SPDX-License-Identifier: Apache-2.0
// Encoded pictures that are kept: found again with the same bits, never those of another picture, never more than the
// limit; and files that are damaged or foreign.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <llamavision/runtime/images/cache.hpp>

#include "../checkpoint/temporary_folder.hpp"
#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;
namespace fs = std::filesystem;

namespace {

lv::image::tiles tiles(std::uint64_t seed, std::size_t rows = 1, std::size_t columns = 2) {
    return random_tiles(rows, columns, small::vision::tile, seed);
}

std::string bits(lv::encoded_image const& image) {
    return {reinterpret_cast<char const*>(image.storage.get()), image.bytes};
}

void check_same(lv::encoded_image const& a, lv::encoded_image const& b) {
    CHECK(bits(a) == bits(b));
    CHECK(a.grid_rows == b.grid_rows);
    CHECK(a.grid_columns == b.grid_columns);
    CHECK(a.memory.rows == b.memory.rows);
    CHECK(a.memory.padded_rows == b.memory.padded_rows);
    CHECK(a.memory.kept == b.memory.kept);
    REQUIRE(a.memory.layers.size() == b.memory.layers.size());
    auto const offset = [](lv::encoded_image const& i, float const* p) {
        return reinterpret_cast<std::byte const*>(p) - i.storage.get();
    };
    CHECK(offset(a, a.memory.padded_bias) == offset(b, b.memory.padded_bias));
    for (std::size_t l = 0; l < a.memory.layers.size(); ++l)
        for (auto const part : {&lv::image_memory::layer::keys, &lv::image_memory::layer::values,
                                &lv::image_memory::layer::padded_keys, &lv::image_memory::layer::padded_values})
            CHECK(offset(a, a.memory.layers[l].*part) == offset(b, b.memory.layers[l].*part));
}

struct counted {
    std::size_t in_memory, on_disk, encoded;
};
void check(lv::image_cache const& cache, counted wanted) {
    CHECK(cache.counts().in_memory == wanted.in_memory);
    CHECK(cache.counts().on_disk == wanted.on_disk);
    CHECK(cache.counts().encoded == wanted.encoded);
}

std::vector<fs::path> files_in(fs::path const& folder) {
    std::vector<fs::path> all;
    for (auto const& entry : fs::directory_iterator(folder)) all.push_back(entry.path());
    return all;
}

} // namespace

TEST_CASE("a picture is encoded once, in memory and in the processes that come after") {
    temporary_folder const folder;
    lv::encode_options remembering;
    remembering.remember_padding = true;
    for (auto const& net : {small_network(), small_network_simd(), wide_network(1)})
        for (lv::encode_options const& options : {lv::encode_options{}, remembering}) {
            auto const wanted = net->encode(tiles(1), options);
            lv::image_cache first({.folder = folder.path() / "images"});
            auto const a = first.encode(*net, tiles(1), options);
            check(first, {0, 0, 1});
            CHECK(first.encode(*net, tiles(1), options) == a);
            check(first, {1, 0, 1});
            lv::image_cache second({.folder = folder.path() / "images"});
            auto const b = second.encode(*net, tiles(1), options);
            check(second, {0, 1, 0});
            check_same(*a, *wanted);
            check_same(*b, *wanted);
            CHECK(second.encode(*net, tiles(1), options) == b); // from memory, now
        }
    CHECK(files_in(folder.path() / "images").size() == 6);
}

TEST_CASE("everything that changes the encoding changes the name") {
    lv::encode_options plain, remembering, later;
    plain.collapse_padding = false;
    remembering.remember_padding = true;
    later.taps_after_layer = true;
    auto const net = small_network();
    std::vector<std::string> names;
    for (lv::encode_options const& o : {lv::encode_options{}, plain, remembering, later})
        names.push_back(lv::image_cache::file_name(*net, tiles(1), o));
    names.push_back(lv::image_cache::file_name(*net, tiles(2), {}));
    names.push_back(lv::image_cache::file_name(*net, tiles(1, 2, 1), {}));
    for (auto const& other : {small_network_simd(), other_network(), wide_network(1), wide_network(2)})
        names.push_back(lv::image_cache::file_name(*other, tiles(1), {}));
    auto one_value = tiles(1);
    one_value.values[100] += 1e-6f;
    names.push_back(lv::image_cache::file_name(*net, one_value, {}));
    for (std::size_t i = 0; i < names.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) CHECK(names[i] != names[j]);
    CHECK(lv::image_cache::file_name(*wide_network(1), tiles(1), {}) == names[8]); // another object, the same weights
}

TEST_CASE("a value of the cross-attention's keys counts, one of the text's queries does not") {
    CHECK(network_with_fine_tuned_tables()->encoder_identity() != small_network()->encoder_identity());
    CHECK(small_network()->encoder_identity().size() == 64);
}

TEST_CASE("in memory, the picture that was used longest ago is dropped first") {
    auto const net = small_network();
    std::size_t const bytes = net->encode(tiles(1), {})->bytes;
    lv::image_cache cache({.memory = 2 * bytes});
    auto const look = [&](std::uint64_t seed) { static_cast<void>(cache.encode(*net, tiles(seed), {})); };
    for (std::uint64_t const seed : {1u, 2u, 1u, 3u, 1u, 2u}) look(seed); // 3 takes the place of 2
    check(cache, {2, 0, 4});
    lv::image_cache none({.memory = bytes - 1});
    static_cast<void>(none.encode(*net, tiles(1), {}));
    static_cast<void>(none.encode(*net, tiles(1), {}));
    check(none, {0, 0, 2});
}

TEST_CASE("the same on disk; other files of the folder stay") {
    temporary_folder const folder;
    folder.write("notes.txt", std::string(5000, 'x'));
    folder.write("0123.image", "not ours");
    auto const net = small_network();
    auto const file = [&](std::uint64_t seed) {
        return folder.path() / lv::image_cache::file_name(*net, tiles(seed), {});
    };
    auto const left_behind = folder.path() / (file(9).filename().string() + ".part123");
    std::ofstream(left_behind) << "half a picture";
    fs::last_write_time(left_behind, fs::file_time_type::clock::now() - std::chrono::hours(2));
    auto const at_work = folder.path() / (file(9).filename().string() + ".part124");
    std::ofstream(at_work) << "half a picture";
    std::size_t const one = net->encode(tiles(1), {})->bytes + 512;
    lv::image_cache cache({.memory = 0, .folder = folder.path(), .disk = 2 * one});
    auto const look = [&](std::uint64_t seed) {
        static_cast<void>(cache.encode(*net, tiles(seed), {}));
        for (auto const& entry : fs::directory_iterator(folder.path())) // as if all files were older
            fs::last_write_time(entry.path(), fs::last_write_time(entry.path()) - std::chrono::seconds(10));
    };
    for (std::uint64_t const seed : {1u, 2u, 1u, 3u}) look(seed);
    check(cache, {0, 1, 3});
    CHECK(fs::exists(file(1)));
    CHECK_FALSE(fs::exists(file(2)));
    CHECK(fs::exists(file(3)));
    CHECK(fs::exists(folder.path() / "notes.txt"));
    CHECK(fs::exists(folder.path() / "0123.image"));
    CHECK_FALSE(fs::exists(left_behind));
    CHECK(fs::exists(at_work));
    lv::image_cache small_one({.memory = 0, .folder = folder.path(), .disk = 100});
    static_cast<void>(small_one.encode(*net, tiles(4), {}));
    CHECK_FALSE(fs::exists(file(4)));
}

TEST_CASE("a file that is not exactly what was written is a miss, and is replaced") {
    temporary_folder const folder;
    auto const net = small_network();
    auto const wanted = net->encode(tiles(1), {});
    auto const path = folder.path() / lv::image_cache::file_name(*net, tiles(1), {});
    static_cast<void>(lv::image_cache({.folder = folder.path()}).encode(*net, tiles(1), {}));
    std::string const whole = text_of_file(path);
    REQUIRE(whole.size() > wanted->bytes);
    std::size_t const header = whole.size() - wanted->bytes;

    std::vector<std::string> wrong{"",
                                   "x",
                                   whole.substr(0, header),
                                   whole.substr(0, whole.size() - 1),
                                   whole + "x",
                                   std::string(whole.size(), '\0')};
    for (std::size_t const at : {std::size_t{0}, std::size_t{25}, header - 12, header - 1, header, whole.size() - 1}) {
        std::string flipped = whole;
        flipped[at] ^= 4;
        wrong.push_back(flipped);
    }
    static_cast<void>(lv::image_cache({.folder = folder.path()}).encode(*net, tiles(2), {}));
    wrong.push_back(text_of_file(folder.path() / lv::image_cache::file_name(*net, tiles(2), {}))); // another picture's
    for (std::string const& content : wrong) {
        std::ofstream(path, std::ios::binary) << content;
        lv::image_cache cache({.folder = folder.path()});
        check_same(*cache.encode(*net, tiles(1), {}), *wanted);
        check(cache, {0, 0, 1});
        CHECK(text_of_file(path) == whole);
    }
    fs::remove(path);
    fs::create_directory(path); // cannot be replaced: the picture is encoded all the same
    std::vector<std::string> said;
    lv::image_cache cache({.folder = folder.path(), .on_warning = [&](std::string const& w) { said.push_back(w); }});
    check_same(*cache.encode(*net, tiles(1), {}), *wanted);
    REQUIRE(said.size() == 1);
    CHECK(contains(said[0], "is a folder"));
}

TEST_CASE("a place that cannot be a folder") {
    temporary_folder const folder;
    folder.write("file", "x");
    CHECK(contains(message_of<lv::file_error>([&] { lv::image_cache({.folder = folder.path() / "file"}); }),
                   "cannot be a folder"));
}

TEST_CASE("many threads, one cache; and two caches, one folder") {
    temporary_folder const folder;
    auto const net = small_network();
    std::vector<lv::session::image_ptr> wanted;
    for (std::uint64_t seed = 0; seed < 4; ++seed) wanted.push_back(net->encode(tiles(seed), {}));
    lv::image_cache one(
        {.memory = 3 * wanted[0]->bytes, .folder = folder.path(), .disk = 3 * (wanted[0]->bytes + 512)});
    lv::image_cache other({.memory = 0, .folder = folder.path(), .disk = 3 * (wanted[0]->bytes + 512)});
    std::vector<std::thread> users;
    std::vector<int> wrong(4);
    for (std::size_t u = 0; u < 4; ++u)
        users.emplace_back([&, u] {
            for (std::uint64_t i = 0; i < 40; ++i) {
                auto const image = (u % 2 ? one : other).encode(*net, tiles((i * (u + 1)) % 4), {});
                wrong[u] += bits(*image) != bits(*wanted[(i * (u + 1)) % 4]);
            }
        });
    for (std::thread& user : users) user.join();
    CHECK(wrong == std::vector<int>(4));
    lv::image_cache_counts const a = one.counts(), b = other.counts();
    CHECK(a.in_memory + a.on_disk + a.encoded == 80);
    CHECK(b.on_disk + b.encoded == 80);
    CHECK(a.in_memory > 0);
    CHECK(b.on_disk > 0);
}

TEST_CASE("a watched encoding is never answered from a cache, and a found one reports its end") {
    lv::image_cache cache;
    auto const net = small_network();
    std::size_t told = 0;
    lv::encode_options watched;
    watched.watch = [&](std::string_view, lv::rows const&) { ++told; };
    static_cast<void>(cache.encode(*net, tiles(1), watched));
    check(cache, {0, 0, 0});
    CHECK(told > 0);
    std::vector<std::size_t> seen;
    lv::encode_options reported;
    reported.on_progress = [&](std::size_t done, std::size_t total) { seen.push_back(total - done); };
    static_cast<void>(cache.encode(*net, tiles(1), reported));
    CHECK(seen.size() == small::vision::layers + small::vision::global_layers);
    static_cast<void>(cache.encode(*net, tiles(1), reported));
    CHECK(seen.size() == small::vision::layers + small::vision::global_layers + 1);
    CHECK(seen.back() == 0);
}
