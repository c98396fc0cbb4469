// SPDX-License-Identifier: Apache-2.0
// A network: pictures encoded in several ways, errors, and its names and numbers.
#include <doctest/doctest.h>

#include <thread>

#include <llamavision/layers/rope.hpp>

#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;

namespace {
using V = small::vision;
using T = small::text;

/// The effect of an image on a session: its logits after a prompt.
std::vector<float> seen_as(lv::session::image_ptr const& image, lv::parity reading = lv::parity::usual) {
    lv::session s(small_network(), {0, 8, reading});
    s.append(id_list{1, 2, image_token, 3, 4}, image_list{image});
    return copy(s.logits());
}
lv::session::image_ptr encode(std::size_t rows, std::size_t columns, lv::encode_options const& options = {}) {
    return small_network()->encode(random_tiles(rows, columns, V::tile), options);
}
} // namespace

TEST_CASE("names and numbers") {
    auto const net = small_network();
    CHECK(net->name() == "small");
    CHECK(net->backend_name() == "scalar");
    CHECK(net->numbers() == lv::config::numbers_of<small>());
    CHECK(net->size() == count(lv::mllama<small>));
    CHECK(contains(net->architecture(), "vision_model"));
    CHECK(contains(net->architecture(), "lm_head"));
    CHECK(net->image_flops(4, false) > net->image_flops(1, false));
    CHECK(net->read_flops(0, 10, 0) < net->read_flops(0, 10, 5));
    CHECK(net->read_flops(10, 1, 5) > net->read_flops(0, 1, 5));
}

TEST_CASE("collapsed padding gives the numbers of the plain tower, in every arrangement") {
    for (auto const& [rows, columns] : lv::config::all_arrangements(V::tiles)) {
        lv::encode_options plain, collapsed;
        plain.collapse_padding = false;
        plain.remember_padding = collapsed.remember_padding = true;
        auto const a = encode(rows, columns, plain), b = encode(rows, columns, collapsed);
        CHECK(a->memory.rows == b->memory.rows);
        CHECK(a->memory.rows == rows * columns * 5);
        CHECK(a->memory.padded_rows == (4 - rows * columns) * 5);
        CHECK(b->memory.padded_rows == (rows * columns < 4 ? 5 : 0));
        for (lv::parity reading : {lv::parity::usual, lv::parity::hugging_face})
            CHECK(difference(seen_as(b, reading), seen_as(a, reading)) < 2e-6);
    }
}

TEST_CASE("padding is remembered only on request") {
    auto const image = encode(1, 2);
    CHECK(image->memory.padded_rows == 0);
    CHECK(image->grid_rows == 1);
    CHECK(image->grid_columns == 2);
    CHECK(image->bytes == 2 * 2 * image->memory.rows * 8 * sizeof(float)); // cross layers, keys and values
    CHECK(image->memory.layers.size() == 2);
    lv::encode_options remember;
    remember.remember_padding = true;
    CHECK(seen_as(encode(1, 2, remember)) == seen_as(image));
}

TEST_CASE("tables that tell padded tiles apart are never collapsed") {
    // small_network's tables are zero there; a tower with a value in one padded slot of one arrangement:
    auto const encode_rows = [](std::size_t rows, std::size_t columns) {
        std::size_t count = 0;
        lv::encode_options options;
        options.watch = [&](std::string_view module, lv::rows const& y) {
            if (module == "vision_model.layernorm_pre") count = y.count;
        };
        static_cast<void>(network_with_fine_tuned_tables()->encode(random_tiles(rows, columns, V::tile), options));
        return count;
    };
    CHECK(encode_rows(1, 1) == 2 * 5); // a real tile and a representative
    CHECK(encode_rows(1, 2) == 4 * 5); // the arrangement with the odd value: all four
    CHECK(encode_rows(2, 1) == 3 * 5);
}

TEST_CASE("taps after the layer change the tower's output") {
    lv::encode_options after;
    after.taps_after_layer = true;
    CHECK(difference(seen_as(encode(1, 2, after)), seen_as(encode(1, 2))) > 1e-3);
}

TEST_CASE("a pass with exactly the planned scratch memory succeeds; with less it throws") {
    for (auto const& net : {small_network(), small_network_simd()})
        for (bool watched : {false, true}) {
            std::size_t const rows = 7, need = net->read_scratch(rows, 2, watched);
            if (!watched) CHECK(net->read_scratch(rows, 1, false) * sizeof(float) == net->plan(rows).read_scratch);
            auto const read = [&](std::size_t floats) {
                std::vector<float> cache(3 * 2 * rows * 8), logits(2 * T::vocabulary), scratch(floats);
                std::vector<float> cos(rows * 2), sin(rows * 2);
                lv::rope_angles(lv::rope_frequencies(T::rope, 4), 0, rows, cos.data(), sin.data());
                auto const image = picture(1, 2);
                lv::image_memory const* const images[] = {&image->memory};
                std::vector<lv::image_visibility> const visibility{{0, rows, images, false}};
                lv::segment const all{rows, 0, 2, {cache.data(), 3, rows, 8, rows * 8}, logits.data()};
                lv::text_rows const text{{&all, 1}, cos.data(), sin.data(), visibility, nullptr};
                lv::read_options options;
                if (watched) options.watch = [](std::string_view, lv::rows const&) {};
                net->read(text, id_list{1, 2, 3, 4, 5, 6, 7}, scratch, options);
                return logits;
            };
            CHECK(read(need) == read(need + 1000));
            CHECK_THROWS_AS(static_cast<void>(read(need - 32)), lv::argument_error);
        }
}

TEST_CASE("the plan of memory") {
    lv::memory_plan const m = small_network()->plan(16);
    CHECK(m.rows == 16);
    CHECK(m.cache_per_position == 3 * 2 * 8 * sizeof(float)); // self layers, keys and values
    CHECK(m.image == encode(2, 2)->bytes);
    CHECK(m.encode_scratch > 0);
    CHECK(m.read_scratch > small_network()->plan(15).read_scratch);
}

TEST_CASE("tiles that are not the model's") {
    auto const refused = [](lv::image::tiles const& t) {
        return message_of<lv::image_error>([&] { return small_network()->encode(t, {}); });
    };
    CHECK(contains(refused(random_tiles(1, 1, 7)), "tiles of 8 pixels, these have 7"));
    lv::image::tiles few = random_tiles(1, 2, V::tile);
    few.values.pop_back();
    CHECK(contains(refused(few), "2 tiles have 384 values, these have 383"));
    CHECK(contains(refused({0, 0, V::tile, {}}), "no canvas has 0 rows"));
    CHECK(contains(refused({0, 1000, V::tile, {}}), "no canvas has 0 rows"));
    CHECK(contains(refused(random_tiles(5, 5, V::tile)), "no canvas has 5 rows of 5"));
    CHECK(contains(refused(random_tiles(3, 2, V::tile)), "no canvas has 3 rows of 2"));
}

TEST_CASE("encoding reports its layers, and ends when asked") {
    std::vector<std::size_t> seen;
    std::stop_source stop;
    lv::encode_options options;
    options.stop = stop.get_token();
    options.on_progress = [&](std::size_t done, std::size_t total) {
        CHECK(total == V::layers + V::global_layers);
        seen.push_back(done);
    };
    static_cast<void>(encode(1, 1, options));
    CHECK(seen == std::vector<std::size_t>{1, 2, 3, 4, 5});
    seen.clear();
    options.on_progress = [&](std::size_t done, std::size_t) {
        seen.push_back(done);
        if (done == 2) stop.request_stop();
    };
    CHECK_THROWS_AS(static_cast<void>(encode(1, 1, options)), lv::cancelled);
    CHECK(seen.size() == 2);
}

TEST_CASE("one image in several sessions, and sessions on several threads") {
    for (auto const& net : {small_network(), small_network_simd()}) {
        auto const image = picture_by(*net, 1, 3);
        auto const read = [&](int seed) {
            lv::session s(net, {0, 4, lv::parity::usual});
            random_floats random(static_cast<std::uint64_t>(seed));
            id_list ids{image_token};
            for (int i = 0; i < 40; ++i) ids.push_back(static_cast<lv::token>(20 + 19 * random.next()));
            s.append(ids, image_list{image});
            for (int i = 0; i < 10; ++i) s.append_generated(i);
            return copy(s.logits());
        };
        std::vector<std::vector<float>> wanted, found(4);
        for (int i = 0; i < 4; ++i) wanted.push_back(read(i));
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i) threads.emplace_back([&, i] { found[static_cast<std::size_t>(i)] = read(i); });
        for (std::thread& t : threads) t.join();
        CHECK(found == wanted);
        CHECK(wanted[0] != wanted[1]);
    }
}

TEST_CASE("a weight that is infinite is refused where it would become an integer, and named") {
    using enum lv::weight_format;
    struct row {
        std::string tensor;
        lv::weight_formats formats;
        std::string kept;
    };
    std::string const patches = "vision_model.patch_embedding.weight";
    std::string const up = "language_model.model.layers.0.mlp.up_proj.weight";
    for (row const& r : {row{patches, {.vision = i8}, "i8"}, row{up, {.self = q8}, "q8"}, row{up, {.self = q4}, "q4"}})
        CHECK(fault_of_infinite(r.tensor, r.formats)
              == "the tensor \"" + r.tensor + "\" as " + r.kept
                     + ": a weight is infinite or no number, and no integer stands for that");
    for (lv::weight_format const f : {stored, bf16}) // where it stays as it is, and shows in the logits
        CHECK(fault_of_infinite(up, {.self = f}) == "nothing was thrown");
}

TEST_CASE("a checkpoint that is not the model's is refused with every fault") {
    std::string const message = faults_of_renamed_checkpoint();
    CHECK(contains(message, "1 missing:\n    language_model.model.norm.weight [16]"));
    CHECK(contains(message, "1 surplus:\n    language_model.model.norms.weight [16]"));
    CHECK(contains(message, "1 misshapen:\n    vision_model.class_embedding is [13], the model's is [12]"));
}
