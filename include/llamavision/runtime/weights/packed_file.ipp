// SPDX-License-Identifier: Apache-2.0
// How a file of packed weights is recognised, made and completed.
#pragma once

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <random>
#include <string_view>

#if defined(__unix__) || defined(__APPLE__)
#define LLAMAVISION_HAS_PACKED_FILES 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

#include <llamavision/checkpoint/container/mapped_file.hpp>
#include <llamavision/runtime/weights/packed_file.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/sha256.hpp>
#include <llamavision/support/system_reason.hpp>

namespace llamavision {

static_assert(std::endian::native == std::endian::little, "files of weights are mapped as they are, little-endian");

namespace detail {
inline constexpr std::size_t packed_page = 4096, packed_line = 64;
inline constexpr std::string_view packed_magic = "llamavision packed weights 1\n"; // 1: of the layouts
} // namespace detail

LLAMAVISION_INLINE packed_file::packed_file(std::filesystem::path path, std::string const& source,
                                            std::span<packed_weight const> weights)
    : path_(std::move(path)) {
    sha256 digest;
    auto const add = [&](std::string text) {
        text += '\n';
        digest.update(std::as_bytes(std::span(std::as_const(text))));
    };
    add(source);
    std::size_t end = detail::packed_page;
    for (packed_weight const& w : weights) {
        add(w.what + " " + std::to_string(w.bytes));
        places_.emplace_back(end, w.bytes);
        end += round_up(w.bytes, detail::packed_line);
    }
    size_ = end;
    header_ = std::string(detail::packed_magic) + digest.hex() + "\n" + std::to_string(size_) + "\n";
    header_.resize(detail::packed_page);
    if (!open()) begin();
}

LLAMAVISION_INLINE packed_file::~packed_file() {
    std::error_code ignored;
    if (!part_.empty()) std::filesystem::remove(part_, ignored);
}

LLAMAVISION_INLINE void packed_file::fail(std::string const& what) const {
    throw file_error(path_.string() + ": " + what);
}

#if LLAMAVISION_HAS_PACKED_FILES

struct packed_file::descriptor {
    int number;
    explicit descriptor(int n) : number(n) {}
    descriptor(descriptor const&) = delete;
    descriptor& operator=(descriptor const&) = delete;
    ~descriptor() {
        if (number >= 0) ::close(number);
    }
};

LLAMAVISION_INLINE void packed_file::filled(std::size_t i) {
#if defined(__linux__)
    auto const write = [&](std::size_t which, unsigned how) {
        auto const [first, count] = places_[which];
        ::sync_file_range(file_->number, static_cast<off_t>(first), static_cast<off_t>(count), how);
    };
    write(i, SYNC_FILE_RANGE_WRITE);
    if (last_ < places_.size())
        write(last_, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
#endif
    last_ = i;
}

LLAMAVISION_INLINE void packed_file::commit() {
    if (complete()) return;
    if (::fsync(file_->number) != 0) fail("cannot be written: " + system_reason());
    std::memcpy(bytes_.get(), header_.data(), detail::packed_page);
    if (::fsync(file_->number) != 0) fail("cannot be written: " + system_reason());
    ::mprotect(bytes_.get(), size_, PROT_READ);
    std::error_code fault;
    std::filesystem::rename(part_, path_, fault);
    if (fault) fail("cannot be replaced: " + fault.message());
    part_.clear();
    file_.reset();
}

LLAMAVISION_INLINE bool packed_file::open() {
    std::string const other = "is no file of packed weights, and stays; give another name";
    std::error_code fault;
    auto const status = std::filesystem::status(path_, fault);
    if (!std::filesystem::exists(status)) return false;
    if (!std::filesystem::is_regular_file(status)) fail(other);
    if (std::filesystem::file_size(path_, fault) == 0) return false;
    auto const file = checkpoint::mapped_file::open(path_);
    std::string_view const text(reinterpret_cast<char const*>(file->bytes().data()), file->size());
    if (!text.starts_with(detail::packed_magic.substr(0, detail::packed_magic.find('1')))) fail(other);
    if (!text.starts_with(header_) || text.size() != size_) return false;
    bytes_ = {file, const_cast<std::byte*>(file->bytes().data())}; // nobody writes into a complete file
    return true;
}

LLAMAVISION_INLINE void packed_file::begin() {
    // Beyond the process' limit the system would not refuse, but end the program.
    struct ::rlimit most {};
    if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && size_ > most.rlim_cur)
        fail("takes " + std::to_string(size_) + " bytes, and files of this process at most "
             + std::to_string(most.rlim_cur) + " (ulimit -f)");
    part_ = path_;
    part_ += ".part" + std::to_string(std::random_device{}());
    file_ = std::make_shared<descriptor>(::open(part_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    try {
        if (file_->number < 0) fail("cannot be opened for writing: " + system_reason());
            // A mapped page that the disk has no room for would end the program when it is written.
#if defined(__APPLE__)
        int const fault = ::ftruncate(file_->number, static_cast<off_t>(size_)) == 0 ? 0 : errno;
#else
        int const fault = ::posix_fallocate(file_->number, 0, static_cast<off_t>(size_));
#endif
        errno = fault;
        if (fault != 0) fail("there is no room for " + std::to_string(size_) + " bytes: " + system_reason());
        map(file_->number);
    } catch (...) {
        std::error_code ignored;
        std::filesystem::remove(part_, ignored);
        throw;
    }
}

LLAMAVISION_INLINE void packed_file::map(int file) {
    void* const start = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (start == MAP_FAILED) fail("cannot be mapped: " + system_reason()); // NOLINT: the macro is a C cast
    bytes_ = {static_cast<std::byte*>(start), [size = size_](std::byte* to) { ::munmap(to, size); }};
}

#else

struct packed_file::descriptor {};
LLAMAVISION_INLINE void packed_file::filled(std::size_t) {}
LLAMAVISION_INLINE void packed_file::commit() {}
LLAMAVISION_INLINE bool packed_file::open() {
    throw error(path_.string() + ": this system maps no files to keep packed weights in");
}
LLAMAVISION_INLINE void packed_file::begin() {}
LLAMAVISION_INLINE void packed_file::map(int) {}

#endif

} // namespace llamavision
