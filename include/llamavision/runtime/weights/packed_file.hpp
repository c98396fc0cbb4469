// SPDX-License-Identifier: Apache-2.0
// Weights as the backend lays them out, kept in a file of their own and mapped: the next start lays out nothing,
// several processes share one copy in memory, and a model that is larger than memory runs from there.
//
// A header of one page (what the file is, what it was made of, how long it is), then every weight on a cache line. What
// lies where follows from the model, the formats and the backend, so the file says nothing of it: its header holds the
// hash of all that, and a file with another hash is made anew. What follows the header is not checked: reading it all
// is what the file is there to spare.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#define LLAMAVISION_HAS_PACKED_FILES 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

#include <llamavision/checkpoint/container/mapped_file.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/sha256.hpp>
#include <llamavision/support/system_reason.hpp>

namespace llamavision {

/// One weight in a packed file: what it is, in words that change when its bytes do, and its size.
struct packed_weight {
    std::string what;
    std::size_t bytes;
};

/// Opened for the weights that it shall hold; made, under another name, if it does not hold them yet, and renamed when
/// it is complete.
class packed_file {
  public:
    /// @param source what the weights come from: the same text, the same values
    /// @throws file_error if the path cannot be written where that is needed, the disk or the process' limit has too
    ///         little room, or another kind of file has that name; error where the system maps no files
    packed_file(std::filesystem::path path, std::string const& source, std::span<packed_weight const> weights)
        : path_(std::move(path)) {
        sha256 digest;
        auto const add = [&](std::string text) {
            text += '\n';
            digest.update(std::as_bytes(std::span(std::as_const(text))));
        };
        add(source);
        std::size_t end = page;
        for (packed_weight const& w : weights) {
            add(w.what + " " + std::to_string(w.bytes));
            places_.emplace_back(end, w.bytes);
            end += (w.bytes + line - 1) / line * line;
        }
        size_ = end;
        header_ = std::string(magic) + digest.hex() + "\n" + std::to_string(size_) + "\n";
        header_.resize(page);
        if (!open()) begin();
    }
    packed_file(packed_file const&) = delete;
    packed_file& operator=(packed_file const&) = delete;
    ~packed_file() {
        std::error_code ignored;
        if (!part_.empty()) std::filesystem::remove(part_, ignored);
    }

    /// Whether the weights are there; otherwise the caller puts them there, each followed by `filled`, and commits.
    [[nodiscard]] bool complete() const { return part_.empty(); }

    [[nodiscard]] std::span<std::byte> operator[](std::size_t i) const {
        return {bytes_.get() + places_[i].first, places_[i].second};
    }
    /// Keeps the bytes mapped.
    [[nodiscard]] std::shared_ptr<std::byte> const& bytes() const { return bytes_; }

#if LLAMAVISION_HAS_PACKED_FILES
    /// The disk may have weight i. Waits for the one before: what is written lies in memory twice only for a moment,
    /// and can be dropped.
    void filled(std::size_t i) {
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

    /// Gives the file its name, when the disk has all of it. Throws file_error.
    void commit() {
        if (complete()) return;
        if (::fsync(file_->number) != 0) fail("cannot be written: " + system_reason());
        std::memcpy(bytes_.get(), header_.data(), page);
        if (::fsync(file_->number) != 0) fail("cannot be written: " + system_reason());
        ::mprotect(bytes_.get(), size_, PROT_READ);
        std::error_code fault;
        std::filesystem::rename(part_, path_, fault);
        if (fault) fail("cannot be replaced: " + fault.message());
        part_.clear();
        file_.reset();
    }

  private:
    struct descriptor {
        int number;
        explicit descriptor(int n) : number(n) {}
        descriptor(descriptor const&) = delete;
        descriptor& operator=(descriptor const&) = delete;
        ~descriptor() {
            if (number >= 0) ::close(number);
        }
    };

    [[noreturn]] void fail(std::string const& what) const { throw file_error(path_.string() + ": " + what); }

    /// Maps what is there, if it is this. Throws file_error if it is no packed file at all.
    bool open() {
        std::string const other = "is no file of packed weights, and stays; give another name";
        std::error_code fault;
        auto const status = std::filesystem::status(path_, fault);
        if (!std::filesystem::exists(status)) return false;
        if (!std::filesystem::is_regular_file(status)) fail(other);
        if (std::filesystem::file_size(path_, fault) == 0) return false;
        auto const file = checkpoint::mapped_file::open(path_);
        std::string_view const text(reinterpret_cast<char const*>(file->bytes().data()), file->size());
        if (!text.starts_with(magic.substr(0, magic.find('1')))) fail(other);
        if (!text.starts_with(header_) || text.size() != size_) return false;
        bytes_ = {file, const_cast<std::byte*>(file->bytes().data())}; // nobody writes into a complete file
        return true;
    }

    void begin() {
        // Beyond the process' limit the system would not refuse, but end the program.
        struct ::rlimit most {};
        if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && size_ > most.rlim_cur)
            fail("takes " + std::to_string(size_) + " bytes, and files of this process at most "
                 + std::to_string(most.rlim_cur) + " (ulimit -f)");
        part_ = path_;
        part_ += ".part" + std::to_string(std::random_device{}());
        file_ = std::make_unique<descriptor>(::open(part_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
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

    void map(int file) {
        void* const start = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (start == MAP_FAILED) fail("cannot be mapped: " + system_reason()); // NOLINT: the macro is a C cast
        bytes_ = {static_cast<std::byte*>(start), [size = size_](std::byte* p) { ::munmap(p, size); }};
    }

    std::unique_ptr<descriptor> file_;
#else
    void filled(std::size_t) {}
    void commit() {}

  private:
    [[nodiscard]] bool open() { throw error(path_.string() + ": this system maps no files to keep packed weights in"); }
    void begin() {}
#endif

    static constexpr std::size_t page = 4096, line = 64;
    static constexpr std::string_view magic = "llamavision packed weights 1\n"; // 1: of the layouts

    std::filesystem::path path_, part_;
    std::string header_;
    std::vector<std::pair<std::size_t, std::size_t>> places_; ///< first byte, count
    std::size_t size_ = 0, last_ = SIZE_MAX;
    std::shared_ptr<std::byte> bytes_;
};

} // namespace llamavision
