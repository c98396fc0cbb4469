// SPDX-License-Identifier: Apache-2.0
// Hints about pages of mapped files: which were read and need not stay, and which will be read soon.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace llamavision {

/// Lets the system take back the whole pages among these bytes. They keep their values: a page that is read again comes
/// from the file.
inline void give_back([[maybe_unused]] std::span<std::byte const> bytes) noexcept {
#if defined(__linux__) && defined(MADV_PAGEOUT)
    auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    std::size_t const before = (page - reinterpret_cast<std::uintptr_t>(bytes.data()) % page) % page;
    if (before >= bytes.size()) return;
    std::span<std::byte const> const whole = bytes.subspan(before, (bytes.size() - before) / page * page);
    if (!whole.empty()) ::madvise(const_cast<std::byte*>(whole.data()), whole.size(), MADV_PAGEOUT);
#endif
}

/// The files beneath mappings, to say which of their bytes will be read next and which will not: the system takes that
/// about files more readily than about memory. Knows the mappings of the moment in which it is made.
/// Source: Linux' /proc/self/maps and posix_fadvise; elsewhere the hints are dropped.
class pages_of_files {
  public:
    pages_of_files() {
#if defined(__linux__)
        std::ifstream maps("/proc/self/maps"); // "7f12-7f34 r--s 00001000 08:01 1234   /path"
        for (std::string line; std::getline(maps, line);) {
            std::istringstream words(line);
            std::uintptr_t begin = 0, end = 0;
            std::uint64_t offset = 0;
            std::string rights, device, inode, path;
            char dash = 0;
            words >> std::hex >> begin >> dash >> end >> rights >> offset >> device >> inode >> std::ws;
            bool const written = rights.starts_with("rw") && rights.ends_with('p'); // and no file has it
            if (std::getline(words, path) && path.starts_with('/') && !written) mappings_[end] = {begin, offset, path};
        }
#endif
    }

    /// The system may begin to read these bytes.
    void fetch([[maybe_unused]] std::span<std::byte const> bytes) {
#if defined(__linux__)
        advise(bytes, POSIX_FADV_WILLNEED);
#endif
    }

    /// They will not be needed for long.
    void drop([[maybe_unused]] std::span<std::byte const> bytes) {
#if defined(__linux__)
        if (mapping_of(bytes) == nullptr) return; // memory that is in no file would be lost
        auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
        auto const first = reinterpret_cast<std::uintptr_t>(bytes.data()), last = first + bytes.size();
        if (last / page * page <= first) return;
        auto const begin = (first + page - 1) / page * page, end = last / page * page;
        // Pages that are mapped stay in memory; what is unmapped here comes back when somebody reads it.
        if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED); // NOLINT
        advise(bytes, POSIX_FADV_DONTNEED);
#endif
    }

  private:
    struct mapping {
        std::uintptr_t begin = 0;
        std::uint64_t offset = 0; ///< in the file
        std::string path;
    };

#if defined(__linux__)
    /// The one that all of the bytes lie in; null if there is none.
    [[nodiscard]] mapping const* mapping_of(std::span<std::byte const> bytes) const {
        auto const first = reinterpret_cast<std::uintptr_t>(bytes.data());
        auto const at = mappings_.upper_bound(first); // the first that ends behind it
        bool const inside =
            at != mappings_.end() && at->second.begin <= first && first + bytes.size() <= at->first && !bytes.empty();
        return inside ? &at->second : nullptr;
    }

    void advise(std::span<std::byte const> bytes, int advice) {
        mapping const* const m = mapping_of(bytes);
        if (m == nullptr) return;
        auto& file = files_[m->path];
        if (!file)
            file = {new int(::open(m->path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), [](int const* number) {
                        if (*number >= 0) ::close(*number);
                        delete number;
                    }};
        if (*file >= 0)
            ::posix_fadvise(*file,
                            static_cast<off_t>(m->offset + (reinterpret_cast<std::uintptr_t>(bytes.data()) - m->begin)),
                            static_cast<off_t>(bytes.size()), advice);
    }
#endif

    std::map<std::uintptr_t, mapping> mappings_; ///< by their ends
    std::map<std::string, std::shared_ptr<int const>> files_;
};

} // namespace llamavision
