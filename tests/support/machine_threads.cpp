// SPDX-License-Identifier: Apache-2.0
// CPU quotas of control groups as Linux shows them, in folders of the test's own; and the affinity mask.
#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include <llamavision/support/control_groups.hpp>
#include <llamavision/support/machine_threads.hpp>
#include <llamavision/support/thread_pool.hpp>

#include "../checkpoint/temporary_folder.hpp"

namespace lv = llamavision;

namespace {

void write(std::filesystem::path const& file, std::string const& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
}

} // namespace

TEST_CASE("CPU quotas: the least on the way up counts, rounded up to whole threads") {
    temporary_folder const folder;
    auto const list = folder.path() / "cgroup", mounts = folder.path() / "mounts";
    auto const cores = [&] { return lv::detail::cores_in_groups(list, mounts); };
    CHECK_FALSE(cores());

    SUBCASE("version 2") {
        write(list, "0::/user/session\n");
        write(mounts / "cgroup.procs", "1\n"); // the root has no cpu.max
        CHECK_FALSE(cores());
        write(mounts / "user/cpu.max", "400000 100000\n");
        CHECK(cores() == 4);
        write(mounts / "user/session/cpu.max", "max 100000\n");
        CHECK(cores() == 4);
        struct quota {
            char const* text;
            std::size_t threads;
        };
        for (quota const& q : {quota{"50000 100000\n", 1},
                               {"100000 100000\n", 1},
                               {"100001 100000\n", 2},
                               {"250000 100000\n", 3},
                               {"1000 50000\n", 1},
                               {"900000 100000\n", 4}}) {
            CAPTURE(q.text);
            write(mounts / "user/session/cpu.max", q.text);
            CHECK(cores() == q.threads);
        }
    }
    SUBCASE("version 1, whose folder is named after one controller or after all of them") {
        std::string name;
        SUBCASE("one") { name = "cpu"; }
        SUBCASE("all") { name = "cpu,cpuacct"; }
        write(list, "4:cpu,cpuacct:/job\n3:cpuset:/\n0::/\n");
        write(mounts / name / "cpu.cfs_quota_us", "-1\n");
        write(mounts / name / "cpu.cfs_period_us", "100000\n");
        CHECK_FALSE(cores());
        write(mounts / name / "job/cpu.cfs_quota_us", "150000\n");
        write(mounts / name / "job/cpu.cfs_period_us", "100000\n");
        CHECK(cores() == 2);
        write(mounts / name / "job/cpu.cfs_quota_us", "-1\n");
        CHECK_FALSE(cores());
    }
    SUBCASE("a container that shows its own group as the root") {
        write(list, "9:cpu:/docker/0123\n0::/docker/0123\n");
        write(mounts / "cpu.max", "300000 100000\n");
        CHECK(cores() == 3);
    }
    SUBCASE("nonsense") {
        write(list, "\ncpu\n9:cpu\n0::/\n");
        for (char const* const text : {"", "x y\n", "100000\n", "100000 0\n", "0 100000\n"}) {
            CAPTURE(text);
            write(mounts / "cpu.max", text);
            CHECK_FALSE(cores());
        }
    }
}

TEST_CASE("a pool has as many threads as the process may run") {
    CHECK(lv::available_threads() >= 1);
    CHECK(lv::available_threads() <= std::max(1u, std::thread::hardware_concurrency()));
    CHECK(lv::thread_pool().threads() == lv::available_threads());
    CHECK(lv::thread_pool(3).threads() == 3);
}

#if defined(__linux__)
TEST_CASE("a pool honours the affinity mask") {
    cpu_set_t before, one;
    REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
    int core = 0;
    while (!CPU_ISSET(core, &before)) ++core;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
    std::size_t const threads = lv::thread_pool().threads();
    REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
    CHECK(threads == 1);
    CHECK(lv::detail::cores_in_affinity_mask() == static_cast<std::size_t>(CPU_COUNT(&before)));
}
#endif
