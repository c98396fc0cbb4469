// SPDX-License-Identifier: Apache-2.0
// A folder appears only when it is complete, and only checkpoints are replaced.
#include <llamavision/checkpoint/write/replacement_folder.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"

#include <doctest/doctest.h>
#include <string>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::size_t entries(std::filesystem::path const& folder) {
    std::size_t count = 0;
    for (auto const& entry : std::filesystem::directory_iterator(folder)) count += entry.exists() ? 1 : 0;
    return count;
}

std::string refusal(std::filesystem::path const& path, bool replace) {
    return message_of<file_error>([&] { replacement_folder const folder(path, replace); });
}

} // namespace

TEST_CASE("a folder is there after commit, and not before") {
    temporary_folder const around;
    auto const target = around.path() / "model";
    {
        replacement_folder const given_up(target, false);
        write_text_file(given_up.path() / "config.json", "{}");
        CHECK(!std::filesystem::exists(target));
    }
    CHECK(entries(around.path()) == 0);
    replacement_folder made(target / "", false); // with a slash at its end
    write_text_file(made.path() / "config.json", "new");
    made.commit();
    CHECK(entries(around.path()) == 1);
    CHECK(text_of_file(target / "config.json") == "new");
}

TEST_CASE("what is there stays, unless it is a checkpoint and may be replaced") {
    temporary_folder const around;
    auto const target = around.path() / "model";
    around.write("model/config.json", "old");
    around.write("model/model-00001-of-00002.safetensors", "old");
    CHECK(contains(refusal(target, false), "is there already, and is not empty"));
    {
        replacement_folder made(target, true);
        write_text_file(made.path() / "params.json", "new");
        CHECK(text_of_file(target / "config.json") == "old");
        made.commit();
    }
    CHECK(entries(around.path()) == 1);
    CHECK(entries(target) == 1);
    CHECK(text_of_file(target / "params.json") == "new");

    around.write("model/thesis.txt", "precious");
    CHECK(contains(refusal(target, true), "\"thesis.txt\""));
    CHECK(text_of_file(target / "thesis.txt") == "precious");
    CHECK(contains(refusal(around.path(), true), "\"model\""));
    CHECK(contains(refusal(target / "params.json", true), "is no folder"));
    CHECK(contains(refusal(around.path() / "none" / "model", false), "cannot be made"));
    std::filesystem::create_directory(around.path() / "empty");
    replacement_folder made(around.path() / "empty", false);
    made.commit();
    CHECK(std::filesystem::is_directory(around.path() / "empty"));
}
