// SPDX-License-Identifier: Apache-2.0
// A backend with memory of its own gives the same bits as one in the host's memory: inputs are uploaded, and outputs
// that an observer sees are downloaded.
#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include <llamavision/runtime/images/cache.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>

#include "../checkpoint/temporary_folder.hpp"
#include "../support/message.hpp"
#include "apart.hpp"
#include "small_network.hpp"

namespace lv = llamavision;

namespace {

std::shared_ptr<lv::network const> make(apart backend, lv::network_options const& how = {}, std::uint64_t seed = 1) {
    return std::make_shared<lv::network_of<small, apart>>(random_weights<small>(seed), std::move(backend), how);
}

using activations = std::map<std::string, std::vector<float>>;

lv::observer into(activations& all) {
    return [&all](std::string_view module, lv::rows const& y) {
        all[std::string(module)].assign(y.data, y.data + y.size());
    };
}

struct seen {
    activations tower, text;
    std::vector<float> logits;
    bool operator==(seen const&) const = default;
};

/// All activations of a picture and a text, and the logits, on that network.
seen all_of(std::shared_ptr<lv::network const> const& net, std::size_t rows, std::size_t columns, lv::parity reading,
            bool collapse) {
    seen s;
    lv::encode_options look;
    look.remember_padding = true;
    look.collapse_padding = collapse;
    look.watch = into(s.tower);
    auto const tiles = random_tiles(rows, columns, small::vision::tile);
    auto const watched = net->encode(tiles, look);
    look.watch = {};
    auto const image = net->encode(tiles, look);
    lv::session watching(net, {0, 3, reading}), text(net, {0, 3, reading});
    lv::read_options read;
    read.watch = into(s.text);
    id_list const ids{1, 2, image_token, 3, 4, 5, 6};
    watching.append(ids, image_list{watched}, read);
    text.append(ids, image_list{image});
    for (lv::token t : {7, 8, 9}) text.append_generated(t);
    s.logits = copy(text.logits());
    return s;
}

} // namespace

TEST_CASE("a network in memory of its own encodes, reads and shows the same bits") {
    auto const host = small_network(), device = make({});
    CHECK(device->plan(8).weights.mapped == 0);
    for (auto const& [rows, columns] : {std::pair<std::size_t, std::size_t>{1, 1}, {1, 2}, {2, 2}})
        for (lv::parity reading : {lv::parity::usual, lv::parity::meta, lv::parity::hugging_face})
            for (bool collapse : {true, false}) {
                seen const a = all_of(host, rows, columns, reading, collapse);
                CHECK(a.tower.size() > 20);
                CHECK(a.text.size() > 20);
                CHECK(a == all_of(device, rows, columns, reading, collapse));
            }
}

TEST_CASE("pictures in memory of its own are kept, in files as well, and are never taken for another model's") {
    temporary_folder const folder;
    auto const net = make({}), again = make({});
    lv::encode_options look;
    look.remember_padding = true;
    auto const tiles = random_tiles(1, 2, small::vision::tile);
    lv::image_cache first({.folder = folder.path()}), second({.folder = folder.path()});
    auto const after = [](std::shared_ptr<lv::network const> const& n, lv::session::image_ptr const& image) {
        lv::session s(n, {0, 3, lv::parity::hugging_face});
        s.append(id_list{1, 2, image_token, 3, 4}, image_list{image});
        return copy(s.logits());
    };
    std::vector<float> const wanted = after(net, net->encode(tiles, look));
    CHECK(after(net, first.encode(*net, tiles, look)) == wanted);
    CHECK(first.encode(*net, tiles, look) == first.encode(*net, tiles, look));
    CHECK(after(again, second.encode(*again, tiles, look)) == wanted);
    CHECK(second.counts().on_disk == 1);
    CHECK(net->encoder_identity() != make({}, {}, 2)->encoder_identity());
    CHECK(net->encoder_identity() != small_network()->encoder_identity());
}

TEST_CASE("a packed file has nothing to hold where all weights lie in the backend's memory") {
    temporary_folder const folder;
    lv::network_options how;
    how.packed = {folder.path() / "packed", "random 1"};
    CHECK(contains(message_of<lv::argument_error>([&] { return make({}, how)->plan(8).rows; }), "none to pack"));
    CHECK_FALSE(std::filesystem::exists(how.packed.file));
}

TEST_CASE("a model that does not fit into the backend's memory is refused with the figures") {
    std::string const message =
        message_of<lv::memory_error>([] { return make({}, {.memory_budget = 1000})->plan(8).rows; });
    CHECK(contains(message, "of memory (weights"));
    CHECK(contains(message, "1000 bytes are available"));
}
