// SPDX-License-Identifier: Apache-2.0
// A file as read-only bytes in memory: mapped where the system supports it, else read.
#pragma once

#include <llamavision/support/error.hpp>

#include <bit>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#define LLAMAVISION_HAS_MMAP 1
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <limits>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#else
#include <llamavision/support/text_file.hpp>
#endif

namespace llamavision::checkpoint {

static_assert(std::endian::native == std::endian::little, "checkpoints are mapped as they are, little-endian");

/// How a range of a mapped file will be used: a hint to the system, which correctness does not need.
enum class access { normal, sequential, random, soon, no_more };

/// A regular file with at least one byte, readable as long as the object lives. It cannot be copied or moved; share it
/// by a pointer.
///
/// Another file may be renamed to the same path: the old one stays mapped. But if some program writes into the mapped
/// file, the bytes change; and if some program makes it shorter, reading beyond the new end raises SIGBUS, which no
/// earlier check can prevent. The library installs no signal handler, since signals belong to the program. The program
/// `llamavision` installs one that names the file and exits (examples/llamavision/mapped_guard.cpp).
class mapped_file {
  public:
    /// Maps a file.
    /// @throws file_error if it is missing, unreadable, a folder, a FIFO or device, or empty
    [[nodiscard]] static std::shared_ptr<mapped_file const> open(std::filesystem::path const& path) {
        return std::make_shared<mapped_file const>(path);
    }

    explicit mapped_file(std::filesystem::path const& path);
    mapped_file(mapped_file const&) = delete;
    mapped_file& operator=(mapped_file const&) = delete;
    ~mapped_file();

    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
    [[nodiscard]] std::span<std::byte const> bytes() const noexcept { return bytes_; }

    /// Tells the system how `range`, a part of bytes(), will be used.
    void advise(std::span<std::byte const> range, access how) const noexcept;

  private:
    std::span<std::byte const> bytes_;
#ifndef LLAMAVISION_HAS_MMAP
    std::string copy_;
#endif
};

#ifdef LLAMAVISION_HAS_MMAP

inline mapped_file::mapped_file(std::filesystem::path const& path) {
    std::string const name = path.string();
    auto const fail = [&name](std::string const& what) { throw file_error(name + ": " + what); };
    auto const why = [] { return std::generic_category().message(errno); };

    // Without O_NONBLOCK, opening a FIFO would wait for a writer; regular files ignore the flag.
    struct descriptor {
        int const number;
        ~descriptor() {
            if (number >= 0) ::close(number);
        }
    } const file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.number < 0) fail(errno == ENOENT ? "no such file" : "cannot be opened: " + why());

    struct ::stat status {};
    if (::fstat(file.number, &status) != 0) fail("cannot be examined: " + why());
    if (S_ISDIR(status.st_mode)) fail("is a folder, not a file");
    if (!S_ISREG(status.st_mode)) fail("is not a regular file");
    if (status.st_size == 0) fail("is empty");
    if (static_cast<std::uintmax_t>(status.st_size) > std::numeric_limits<std::size_t>::max())
        fail("is too large for this machine's addresses");

    auto const size = static_cast<std::size_t>(status.st_size);
    void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number, 0);
    if (start == MAP_FAILED) fail("cannot be mapped: " + why()); // NOLINT: the macro is a C cast
    bytes_ = {static_cast<std::byte const*>(start), size};
}

inline mapped_file::~mapped_file() { ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size()); }

inline void mapped_file::advise(std::span<std::byte const> range, access how) const noexcept {
    if (range.empty()) return;
    auto const page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    auto const before = static_cast<std::size_t>(range.data() - bytes_.data()) % page; // advice must start at a page
    int advice = POSIX_MADV_NORMAL;
    switch (how) {
    case access::normal: break;
    case access::sequential: advice = POSIX_MADV_SEQUENTIAL; break;
    case access::random: advice = POSIX_MADV_RANDOM; break;
    case access::soon: advice = POSIX_MADV_WILLNEED; break;
    case access::no_more: advice = POSIX_MADV_DONTNEED; break;
    }
    ::posix_madvise(const_cast<std::byte*>(range.data() - before), range.size() + before, advice);
}

#else

inline mapped_file::mapped_file(std::filesystem::path const& path) : copy_(read_text_file(path, SIZE_MAX)) {
    if (copy_.empty()) throw file_error(path.string() + ": is empty");
    bytes_ = std::as_bytes(std::span(copy_.data(), copy_.size()));
}

inline mapped_file::~mapped_file() = default;

inline void mapped_file::advise(std::span<std::byte const>, access) const noexcept {}

#endif

} // namespace llamavision::checkpoint
