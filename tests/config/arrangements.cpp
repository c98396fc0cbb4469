// SPDX-License-Identifier: Apache-2.0
// The arrangements of tiles and their ids.
#include <llamavision/config/arrangements.hpp>

#include <cstddef>
#include <doctest/doctest.h>
#include <vector>

using namespace llamavision::config;

TEST_CASE("arrangements in the order of Hugging Face's ids") {
    std::vector<arrangement> const four{{1, 1}, {1, 2}, {1, 3}, {1, 4}, {2, 1}, {2, 2}, {3, 1}, {4, 1}};
    CHECK(all_arrangements(4) == four);
    CHECK(all_arrangements(1) == std::vector<arrangement>{{1, 1}});
    for (std::size_t const tiles : {1u, 4u, 6u, 9u}) {
        auto const all = all_arrangements(tiles);
        CHECK(all.size() == count_arrangements(tiles));
        for (std::size_t i = 0; i < all.size(); ++i) CHECK(arrangement_id(all[i].rows, all[i].columns, tiles) == i + 1);
    }
    CHECK(all_arrangements(6).size() == 14);
}
