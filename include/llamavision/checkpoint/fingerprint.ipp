// SPDX-License-Identifier: Apache-2.0
// Sizes, times and samples of files, hashed.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <ios>
#include <system_error>

#include <llamavision/checkpoint/fingerprint.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/sha256.hpp>

namespace llamavision::checkpoint {

LLAMAVISION_INLINE std::string fingerprint(std::span<std::filesystem::path const> files) {
    constexpr std::uintmax_t places = 256, sample = 4096;
    sha256 digest;
    std::array<char, sample> bytes{};
    for (std::filesystem::path const& file : files) {
        std::error_code fault;
        auto const size = std::filesystem::file_size(file, fault);
        if (fault) throw file_error(file.string() + ": " + fault.message());
        auto const changed = std::filesystem::last_write_time(file, fault).time_since_epoch().count();
        std::array<std::uint64_t, 2> const about{size, static_cast<std::uint64_t>(changed)};
        digest.update(std::as_bytes(std::span(about)));
        std::ifstream stream(file, std::ios::binary);
        std::uintmax_t const last = size - std::min(size, sample), step = last / (places - 1);
        for (std::uintmax_t place = 0; place < places; ++place) {
            stream.seekg(static_cast<std::streamoff>(place + 1 < places ? place * step : last));
            stream.read(bytes.data(), static_cast<std::streamsize>(std::min(size, sample)));
            if (!stream) throw file_error(file.string() + ": cannot be read");
            digest.update(std::as_bytes(std::span(bytes)).first(static_cast<std::size_t>(stream.gcount())));
            if (step == 0 && place == 0)
                place = places - 2; // a file smaller than a sample: only its beginning and its end
        }
    }
    return digest.hex();
}

} // namespace llamavision::checkpoint
