// SPDX-License-Identifier: Apache-2.0
// A file that takes its place only when it is complete: whatever goes wrong before leaves the old file, or none.
#pragma once

#include <llamavision/support/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#if defined(__unix__) || defined(__APPLE__)
#define LLAMAVISION_HAS_FSYNC 1
#include <fcntl.h>
#include <unistd.h>
#endif

namespace llamavision {

/// Opens a new file beside `path`; `commit` moves it there, and without that it vanishes. A symbolic link stays one,
/// and a device ("/dev/null") is written into. After a kill, "PATH.part" and a number may remain.
class replacement_file {
  public:
    /// Throws file_error.
    explicit replacement_file(std::filesystem::path const& path) {
        std::error_code fault;
        auto const status = std::filesystem::status(path, fault);
        if (std::filesystem::is_directory(status)) throw file_error(path.string() + ": is a folder, not a file");
        in_place_ = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
        target_ = std::filesystem::canonical(path, fault);
        if (fault) target_ = path;
        part_ = target_;
        if (!in_place_) part_ += ".part" + std::to_string(std::random_device{}());
        stream_.reset(std::fopen(part_.string().c_str(), "wb"));
        if (!stream_) throw file_error(path.string() + ": cannot be opened for writing: " + why());
    }
    replacement_file(replacement_file const&) = delete;
    replacement_file& operator=(replacement_file const&) = delete;
    ~replacement_file() {
        if (in_place_ || committed_) return;
        stream_.reset();
        std::error_code ignored;
        std::filesystem::remove(part_, ignored);
    }

    /// Appends. Throws file_error: a full disk, a limit on the size of files.
    void write(std::string_view text) {
        if (!text.empty() && std::fwrite(text.data(), 1, text.size(), stream_.get()) != text.size()) fail();
        written_ += text.size();
    }
    void write(std::span<std::byte const> bytes) {
        write(std::string_view(reinterpret_cast<char const*>(bytes.data()), bytes.size()));
    }
    /// Bytes so far.
    [[nodiscard]] std::size_t size() const { return written_; }

    /// Waits until the disk has everything, then takes the old file's place. Throws file_error.
    void commit() {
        if (std::fflush(stream_.get()) != 0) fail();
#ifdef LLAMAVISION_HAS_FSYNC
        if (!in_place_ && ::fsync(::fileno(stream_.get())) != 0) fail();
#endif
        if (std::fclose(stream_.release()) != 0) fail();
        if (in_place_) return;
        std::error_code fault;
        std::filesystem::rename(part_, target_, fault);
        if (fault) throw file_error(target_.string() + ": cannot be replaced: " + fault.message());
        committed_ = true;
    }

  private:
    struct closer {
        void operator()(std::FILE* stream) const { static_cast<void>(std::fclose(stream)); }
    };

    static std::string why() { return std::generic_category().message(errno); }
    [[noreturn]] void fail() const { throw file_error(target_.string() + ": cannot be written: " + why()); }

    std::filesystem::path target_, part_;
    std::unique_ptr<std::FILE, closer> stream_;
    std::size_t written_ = 0;
    bool in_place_ = false, committed_ = false;
};

/// Writes the names in `folder` to the disk, as far as the system allows: what was renamed into it is there after a
/// power failure.
inline void sync_folder(std::filesystem::path const& folder) {
#ifdef LLAMAVISION_HAS_FSYNC
    int const number = ::open(folder.c_str(), O_RDONLY | O_CLOEXEC);
    if (number < 0) return;
    static_cast<void>(::fsync(number));
    ::close(number);
#else
    static_cast<void>(folder);
#endif
}

/// A small file, whole or not at all. Throws file_error.
inline void write_text_file(std::filesystem::path const& path, std::string_view text) {
    replacement_file file(path);
    file.write(text);
    file.commit();
}

} // namespace llamavision
