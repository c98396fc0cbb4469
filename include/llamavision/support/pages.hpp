// SPDX-License-Identifier: Apache-2.0
// Hints to the system about pages of mapped files: pages that are no longer needed, and pages that will be read soon.
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

/// Tells the system that these bytes of a mapped file are no longer needed in memory. They keep their values: if they
/// are read again, they come from the file. Only whole pages are affected.
inline void give_back([[maybe_unused]] std::span<std::byte const> bytes) noexcept {
#if defined(__linux__) && defined(MADV_PAGEOUT)
    auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    std::size_t const before = (page - reinterpret_cast<std::uintptr_t>(bytes.data()) % page) % page;
    if (before >= bytes.size()) return;
    std::span<std::byte const> const whole = bytes.subspan(before, (bytes.size() - before) / page * page);
    if (!whole.empty()) ::madvise(const_cast<std::byte*>(whole.data()), whole.size(), MADV_PAGEOUT);
#endif
}

/// Gives hints about the files that are mapped in this process, since Linux follows hints about files (posix_fadvise)
/// better than those about memory. The constructor reads the mappings from /proc/self/maps; later ones are not known.
/// On other systems the functions do nothing.
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
            bool const written = rights.starts_with("rw") && rights.ends_with('p'); // written pages are in no file
            if (std::getline(words, path) && path.starts_with('/') && !written) mappings_[end] = {begin, offset, path};
        }
#endif
    }

    /// Tells the system to read these bytes from their file now.
    void fetch([[maybe_unused]] std::span<std::byte const> bytes) {
#if defined(__linux__)
        advise(bytes, POSIX_FADV_WILLNEED);
#endif
    }

    /// Tells the system to drop these bytes from memory.
    void drop([[maybe_unused]] std::span<std::byte const> bytes) {
#if defined(__linux__)
        if (mapping_of(bytes) == nullptr) return; // other memory would lose its content
        auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
        auto const first = reinterpret_cast<std::uintptr_t>(bytes.data()), last = first + bytes.size();
        if (last / page * page <= first) return;
        auto const begin = (first + page - 1) / page * page, end = last / page * page;
        // The system does not drop pages that are mapped, so they are unmapped first. They return when they are read.
        if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED); // NOLINT
        advise(bytes, POSIX_FADV_DONTNEED);
#endif
    }

  private:
    struct mapping {
        std::uintptr_t begin = 0;
        std::uint64_t offset = 0; ///< in the file, of the mapping's first byte
        std::string path;
    };

#if defined(__linux__)
    /// The mapping that contains all of the bytes; null if there is none.
    [[nodiscard]] mapping const* mapping_of(std::span<std::byte const> bytes) const {
        auto const first = reinterpret_cast<std::uintptr_t>(bytes.data());
        auto const at = mappings_.upper_bound(first); // the first mapping that ends after `first`
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

    std::map<std::uintptr_t, mapping> mappings_; ///< by the addresses of their ends
    std::map<std::string, std::shared_ptr<int const>> files_;
};

} // namespace llamavision
