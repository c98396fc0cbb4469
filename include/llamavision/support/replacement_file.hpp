// SPDX-License-Identifier: Apache-2.0
// Writes a file so that its name always means a complete file: the old one, or the new one when it is complete.
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

/// A new file beside `path`. `commit` renames it to `path`; without that, the destructor removes it. If `path` is a
/// symbolic link, the file that it points to is replaced; a device ("/dev/null") is written directly. If the process is
/// killed, a file called "PATH.part" and a number may remain.
class replacement_file {
  public:
    /// @throws file_error
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

    /// Appends bytes.
    /// @throws file_error, for example if the disk is full or a limit on the size of files is reached
    void write(std::string_view text) {
        if (!text.empty() && std::fwrite(text.data(), 1, text.size(), stream_.get()) != text.size()) fail();
        written_ += text.size();
    }
    void write(std::span<std::byte const> bytes) {
        write(std::string_view(reinterpret_cast<char const*>(bytes.data()), bytes.size()));
    }
    /// The number of bytes that were written.
    [[nodiscard]] std::size_t size() const { return written_; }

    /// Waits until all bytes are on the disk, and replaces the old file.
    /// @throws file_error
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

/// Writes the names in `folder` to the disk, so that a renamed file is still there after a power failure. Does nothing
/// where the system does not support it.
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

/// Writes a small file, which is either complete or not there.
/// @throws file_error
inline void write_text_file(std::filesystem::path const& path, std::string_view text) {
    replacement_file file(path);
    file.write(text);
    file.commit();
}

} // namespace llamavision
