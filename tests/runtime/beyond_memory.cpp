// SPDX-License-Identifier: Apache-2.0
// A model several times larger than the memory that its process may take: a control group sets the limit, and the
// answers are those of a process without one.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/model/random_weights.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>
#include <llamavision/support/control_groups.hpp>
#include <llamavision/support/machine_memory.hpp>

#include "../checkpoint/temporary_folder.hpp"
#include "small_network.hpp"

namespace lv = llamavision;
namespace fs = std::filesystem;

namespace {

/// 208 million parameters in 24 layers: 118 MB in q4.
struct sizable {
    static constexpr std::string_view name = "sizable";
    struct vision : small::vision {
        static constexpr std::size_t width = 32, mlp = 64;
    };
    struct text : small::text {
        static constexpr std::size_t width = 768, mlp = 3072, heads = 12, kv_heads = 4, layers = 24, vocabulary = 256;
    };
};
constexpr std::size_t limit = 40'000'000;

std::shared_ptr<lv::network const> load(fs::path const& file, std::size_t budget) {
    lv::network_options how;
    how.formats = lv::weight_formats::divided(lv::weight_format::bf16, lv::weight_format::q4);
    how.packed = {file, "random"};
    how.memory_budget = budget;
    how.beyond_memory = true;
    return std::make_shared<lv::network_of<sizable, lv::simd>>(lv::random_weights<sizable>(1), lv::simd(2), how);
}

constexpr std::size_t answer = 4;

/// Logits of a few tokens, read one by one after a prompt about a picture.
std::vector<float> answers_of(std::shared_ptr<lv::network const> const& net) {
    lv::session s(net, {64, 16, lv::parity::usual});
    s.append(id_list{1, 256, 2, 3, 4}, image_list{net->encode(random_tiles(1, 1, sizable::vision::tile), {})});
    std::vector<float> all = copy(s.logits());
    for (std::size_t i = 0; i < answer; ++i) {
        s.append_generated(static_cast<lv::token>(i));
        all.insert(all.end(), s.logits().begin(), s.logits().end());
    }
    return all;
}

/// A control group below this process's own, which may hold so many bytes; removed at the end.
class memory_group {
  public:
    static std::unique_ptr<memory_group> make(std::size_t bytes) {
        std::ifstream lines("/proc/self/cgroup");
        for (std::string line; std::getline(lines, line);) {
            auto const first = line.find(':'), second = line.find(':', first + 1);
            if (second == std::string::npos) continue;
            std::string const controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 2);
            bool const old = controllers == "memory";
            if (!old && !controllers.empty()) continue;
            fs::path const parent = fs::path(old ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup") / path;
            if (!old) write(parent / "cgroup.subtree_control", "+memory");
            fs::path const folder = parent / ("llamavision_test_" + std::to_string(::getpid()));
            std::error_code fault;
            if (!fs::create_directory(folder, fault)) continue;
            auto group = std::unique_ptr<memory_group>(new memory_group(folder));
            if (write(folder / (old ? "memory.limit_in_bytes" : "memory.max"), std::to_string(bytes))) return group;
        }
        return nullptr;
    }
    memory_group(memory_group const&) = delete;
    memory_group& operator=(memory_group const&) = delete;
    ~memory_group() { ::rmdir(folder_.c_str()); }

    [[nodiscard]] bool join() const { return write(folder_ / "cgroup.procs", std::to_string(::getpid())); }

  private:
    explicit memory_group(fs::path folder) : folder_(std::move(folder)) {}
    static bool write(fs::path const& file, std::string const& text) {
        std::ofstream stream(file);
        stream << text << std::flush;
        return bool(stream);
    }

    fs::path folder_;
};

/// Bytes that this process has read from a disk.
std::size_t bytes_read() { return lv::detail::kernel_number("/proc/self/io", "read_bytes:").value_or(0); }

void forget(fs::path const& file) {
    int const number = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    ::fsync(number);
    ::posix_fadvise(number, 0, 0, POSIX_FADV_DONTNEED);
    ::close(number);
}

struct verdict {
    int same = 0;
    std::size_t available = 0, read = 0;
};

} // namespace

TEST_CASE("three times its memory: the same answers, read from the disk once for every token") {
    temporary_folder const folder;
    auto const file = folder.path() / "packed";
    std::vector<float> wanted;
    {
        auto const net = load(file, 0);
        REQUIRE(net->plan(16).weights.mapped > 2.8 * limit);
        wanted = answers_of(net);
    }
    auto const size = fs::file_size(file);
    auto const group = memory_group::make(limit);
    if (!group) {
        MESSAGE("not tested: this process may make no control group that limits memory");
        return;
    }
    forget(file);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    pid_t const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        verdict v;
        if (group->join()) {
            v.available = lv::available_memory();
            std::size_t const before = bytes_read();
            v.same = answers_of(load(file, v.available)) == wanted;
            v.read = bytes_read() - before;
        }
        ::_exit(::write(ends[1], &v, sizeof v) == sizeof v ? 0 : 1);
    }
    ::close(ends[1]);
    verdict v;
    auto const got = ::read(ends[0], &v, sizeof v);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(got == sizeof v); // else the system killed it for its memory
    if (v.available == 0) {
        MESSAGE("not tested: this process may not join a control group");
        return;
    }
    CHECK(v.same == 1);
    CHECK(v.available <= limit);
    CHECK(v.available > limit / 2);
    MESSAGE("read ", v.read / 1'000'000, " MB for ", answer, " tokens and a prompt, of a file of ", size / 1'000'000);
    if (v.read == 0) return; // a temporary folder in memory
    CHECK(v.read >= answer * (size - limit));
    CHECK(v.read <= 2 * (answer + 2) * size);
}
