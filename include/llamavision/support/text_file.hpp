// SPDX-License-Identifier: Apache-2.0
// Reads a small file as a string, and asks whether files exist.
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/system_reason.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>
#include <system_error>

namespace llamavision {

/// Whether `path` exists. If the system does not allow the question, the answer is true, so that opening the file
/// reports the reason.
[[nodiscard]] inline bool is_there(std::filesystem::path const& path) noexcept {
    std::error_code ignored;
    return std::filesystem::status(path, ignored).type() != std::filesystem::file_type::not_found;
}

/// Whether `path` exists, also as a link to a missing file, which an interrupted download may leave. Opening such a
/// link reports it.
[[nodiscard]] inline bool has_entry(std::filesystem::path const& path) noexcept {
    std::error_code ignored;
    return std::filesystem::symlink_status(path, ignored).type() != std::filesystem::file_type::not_found;
}

/// The error message for a `path` that does not exist or is a link to a missing file.
[[nodiscard]] inline std::string absence(std::filesystem::path const& path) {
    return path.string()
           + (has_entry(path) ? ": is a link to a file that is not there; fetch it again" : ": no such file");
}

/// Whether `path` is a folder; false if that cannot be found out.
[[nodiscard]] inline bool is_folder(std::filesystem::path const& path) noexcept {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored);
}

/// All bytes of a regular file.
/// @throws file_error if it is missing, unreadable, not a regular file (opening a FIFO would wait forever), or larger
///         than `limit` bytes
[[nodiscard]] inline std::string read_text_file(std::filesystem::path const& path, std::size_t limit) {
    std::string const name = path.string();
    std::error_code fault;
    auto const status = std::filesystem::status(path, fault);
    if (status.type() == std::filesystem::file_type::not_found) throw file_error(absence(path));
    if (fault) throw file_error(name + ": " + fault.message());
    if (std::filesystem::is_directory(status)) throw file_error(name + ": is a folder, not a file");
    if (!std::filesystem::is_regular_file(status)) throw file_error(name + ": is not a regular file");
    std::uintmax_t const size = std::filesystem::file_size(path, fault);
    if (fault) throw file_error(name + ": " + fault.message());
    if (size > limit)
        throw file_error(name + ": has " + std::to_string(size) + " bytes, more than the limit of "
                         + std::to_string(limit) + " for such a file");
    std::ifstream stream(path, std::ios::binary);
    if (!stream) throw file_error(name + ": cannot be opened for reading: " + system_reason());
    std::string text(static_cast<std::size_t>(size), '\0');
    stream.read(text.data(), static_cast<std::streamsize>(size));
    if (stream.bad() || static_cast<std::uintmax_t>(stream.gcount()) != size)
        throw file_error(name + ": cannot be read to its end");
    return text;
}

} // namespace llamavision
