// SPDX-License-Identifier: Apache-2.0
// Reads picture files into memory, as far as they look like pictures.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <llamavision/image/format.hpp>
#include <llamavision/image/registered.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/system_reason.hpp>
#include <string>
#include <system_error>
#include <vector>

namespace llamavision::image::detail {

/// The bytes of a file; only the first MiB if they are no picture's, and little more than `max_bytes` of a larger file.
/// @throws file_error if it cannot be read
inline std::vector<std::byte> read_picture_file(std::filesystem::path const& path, std::size_t max_bytes) {
    std::string const name = path.string();
    std::error_code failure;
    if (std::filesystem::is_directory(path, failure)) throw file_error(name + ": is a folder, not a picture");
    std::ifstream in(path, std::ios::binary);
    if (!in) throw file_error(name + ": cannot be opened: " + system_reason());
    std::vector<std::byte> bytes;
    constexpr std::size_t step = std::size_t{1} << 20;
    while (in) {
        std::size_t const before = bytes.size();
        bytes.resize(before + step);
        in.read(reinterpret_cast<char*>(bytes.data() + before), static_cast<std::streamsize>(step));
        bytes.resize(before + static_cast<std::size_t>(in.gcount()));
        // The first bytes decide, so that an endless device or a video is not read to its end.
        bool const is_first = before == 0;
        if (is_first && format_of({bytes, name}) == file_format::other && !decoder_of({bytes, name})) break;
        if (bytes.size() > max_bytes) break;
    }
    if (in.bad()) throw file_error(name + ": cannot be read");
    return bytes;
}

} // namespace llamavision::image::detail
