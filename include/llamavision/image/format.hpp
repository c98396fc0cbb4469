// SPDX-License-Identifier: Apache-2.0
// Recognises files by their first bytes: the four formats that are decoded, and others, to name them in errors.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/image/source.hpp>
#include <string>
#include <string_view>

namespace llamavision::image {

/// The formats that are decoded; `other` is anything else.
enum class file_format { png, jpeg, bmp, gif, other };

/// The format of a file, by its first bytes; its name has no influence.
inline file_format format_of(source const& file) {
    if (file.has(0, "\x89PNG")) return file_format::png;
    if (file.has(0, "\xFF\xD8\xFF")) return file_format::jpeg;
    if (file.has(0, "GIF8")) return file_format::gif;
    if (file.has(0, "BM")) return file_format::bmp;
    return file_format::other;
}

namespace detail {

/// The first 1000 bytes as text.
inline std::string_view first_text(source const& file) {
    return {reinterpret_cast<char const*>(file.bytes.data()), std::min<std::size_t>(file.size(), 1000)};
}

/// The first 256 bytes in lower case, without leading white space.
inline std::string opening(source const& file) {
    std::string text;
    for (char const c : first_text(file).substr(0, 256)) {
        if (text.empty() && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) continue;
        text.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    }
    return text;
}

/// The kind of a file in an ISO container, by the brand at byte 8.
inline std::string container_kind(source const& file) {
    if (file.has(8, "avif") || file.has(8, "avis")) return "an AVIF picture";
    for (std::string_view const brand : {"heic", "heix", "heim", "heis", "hevc", "mif1", "msf1"})
        if (file.has(8, brand)) return "a HEIC picture";
    return "a video";
}

} // namespace detail

/// The kind of a file of none of the four formats, as a phrase: "a WebP picture", "a PDF document", ...
inline std::string kind_of(source const& file) {
    if (file.size() == 0) return "an empty file";
    if (file.has(4, "ftyp")) return detail::container_kind(file);
    if (file.has(0, "RIFF")) return file.has(8, "WEBP") ? "a WebP picture" : "a RIFF file (sound or video)";
    struct signature {
        std::string_view mark;
        char const* kind;
    };
    for (signature const& known :
         {signature{std::string_view("II*\0", 4), "a TIFF picture"},
          signature{std::string_view("MM\0*", 4), "a TIFF picture"}, signature{"%PDF", "a PDF document"},
          signature{"8BPS", "a Photoshop picture"}, signature{std::string_view("\0\0\1\0", 4), "an icon"},
          signature{"\xFF\x0A", "a JPEG XL picture"},
          signature{std::string_view("\0\0\0\x0CJXL ", 8), "a JPEG XL picture"},
          signature{std::string_view("\0\0\0\x0CjP  ", 8), "a JPEG 2000 picture"},
          signature{"\xFF\x4F\xFF\x51", "a JPEG 2000 picture"}, signature{"qoif", "a QOI picture"},
          signature{"\x1F\x8B", "a gzip archive"}, signature{"PK\x03\x04", "a ZIP archive"},
          signature{"\x93NUMPY", "a NumPy array"},
          signature{"\x7F"
                    "ELF",
                    "a program"}})
        if (file.has(0, known.mark)) return known.kind;
    std::string const text = detail::opening(file);
    if (text.find("<svg") != std::string::npos) return "an SVG drawing";
    if (text.starts_with("<?xml")) return "an XML document";
    if (text.size() > 2 && text[0] == 'p' && text[1] >= '1' && text[1] <= '7' && text[2] == '\n')
        return "a PNM picture";
    auto const printable = [](unsigned char c) {
        return (c >= ' ' && c != 0x7F) || c == '\n' || c == '\r' || c == '\t';
    };
    if (std::all_of(text.begin(), text.end(), [](char c) { return c == 0; })) return "a file of zeros";
    if (std::all_of(text.begin(), text.end(), printable)) return "a text file";
    return "no picture";
}

} // namespace llamavision::image
