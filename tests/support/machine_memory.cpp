// SPDX-License-Identifier: Apache-2.0
// Control groups as Linux shows them, in folders of the test's own.
#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include <llamavision/support/control_groups.hpp>
#include <llamavision/support/machine_memory.hpp>

#include "../checkpoint/temporary_folder.hpp"

namespace lv = llamavision;

namespace {

void write(std::filesystem::path const& file, std::string const& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
}

} // namespace

TEST_CASE("the machine has memory, and no process may take more than that") {
    CHECK(lv::machine_memory() > 0);
    CHECK(lv::available_memory() > 0);
    CHECK(lv::available_memory() <= lv::machine_memory());
}

TEST_CASE("control groups: the tightest limit on the way up counts, less what cannot be dropped") {
    temporary_folder const folder;
    auto const list = folder.path() / "cgroup", mounts = folder.path() / "mounts";
    auto const left = [&] { return lv::detail::memory_left_in_groups(list, mounts); };
    CHECK_FALSE(left());

    SUBCASE("version 2") {
        write(list, "0::/user/session\n");
        write(mounts / "memory.stat", "anon 5\n"); // the root has no limit
        write(mounts / "user/memory.max", "1000\n");
        write(mounts / "user/memory.current", "700\n");
        write(mounts / "user/memory.stat", "anon 100\ninactive_file 400\nactive_file 200\n");
        CHECK(left() == 900);
        write(mounts / "user/session/memory.max", "max\n");
        write(mounts / "user/session/memory.current", "700\n");
        CHECK(left() == 900);
        write(mounts / "user/session/memory.max", "800\n");
        write(mounts / "user/session/memory.stat", "inactive_file 0\n");
        CHECK(left() == 100);
        write(mounts / "user/session/memory.current", "900\n"); // above its limit, for a moment
        CHECK(left() == 0);
    }
    SUBCASE("version 1") {
        write(list, "4:cpu,memory:/job\n3:cpuset:/\n0::/\n");
        write(mounts / "memory/memory.limit_in_bytes", "9223372036854771712\n");
        write(mounts / "memory/memory.usage_in_bytes", "5000\n");
        write(mounts / "memory/job/memory.limit_in_bytes", "2000\n");
        write(mounts / "memory/job/memory.usage_in_bytes", "1500\n");
        write(mounts / "memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 300\ntotal_active_file 100\n");
        CHECK(left() == 900);
    }
    SUBCASE("a container that shows its own group as the root") {
        write(list, "9:memory:/docker/0123\n0::/docker/0123\n");
        write(mounts / "memory/memory.limit_in_bytes", "2000\n");
        write(mounts / "memory/memory.usage_in_bytes", "500\n");
        CHECK(left() == 1500);
    }
    SUBCASE("nonsense") {
        write(list, "\nmemory\n9:memory\n9:memory:\n");
        CHECK_FALSE(left());
    }
}
