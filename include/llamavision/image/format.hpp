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

/// Whether an ISO container names a brand: as its own, at byte 8, or among those that it is compatible with.
inline bool has_brand(source const& file, std::string_view brand) {
    if (!file.has(4, "ftyp")) return false;
    if (file.has(8, brand)) return true;
    std::size_t const end = std::min<std::size_t>({file.be32(0), file.size(), 4096}); // of the box
    for (std::size_t at = 16; at + 4 <= end; at += 4)
        if (file.has(at, brand)) return true;
    return false;
}

inline bool is_avif(source const& file) { return has_brand(file, "avif") || has_brand(file, "avis"); }

/// AVIF files name the general brands of HEIF as well.
inline bool is_heic(source const& file) {
    for (std::string_view const brand : {"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"})
        if (has_brand(file, brand)) return !is_avif(file);
    return false;
}

} // namespace detail

/// What a file of none of the four formats is.
struct file_kind {
    std::string kind;   ///< a phrase: "a WebP picture", "a PDF document", ...
    std::string advice; ///< what to do to use it, "convert it with `...`"; empty if nothing is known
};

/// Recognises a file of none of the four formats.
inline file_kind recognise(source const& file) {
    if (file.size() == 0) return {"an empty file", ""};
    if (detail::is_avif(file))
        return {"an AVIF picture",
                "this program was built without libavif (Debian: libavif-dev; CMake: LLAMAVISION_AVIF); "
                "convert it with `avifdec picture.avif picture.png`"};
    if (detail::is_heic(file))
        return {"a HEIC picture",
                "this program was built without libheif (Debian: libheif-dev; CMake: LLAMAVISION_HEIC); "
                "convert it with `heif-convert picture.heic picture.png`"};
    if (file.has(0, "RIFF") && file.has(8, "WEBP"))
        return {"a WebP picture",
                "this program was built without libwebp (Debian: libwebp-dev; CMake: LLAMAVISION_WEBP); "
                "convert it with `dwebp picture.webp -o picture.png`"};
    constexpr char const* magick = "convert it with ImageMagick: `convert FILE picture.png`";
    constexpr char const* video = "take frames from it with `ffmpeg -i FILE -vf fps=1 frame%03d.png`";
    constexpr char const* jxl = "convert it with `djxl FILE picture.png`";
    constexpr char const* jp2 = "convert it with `opj_decompress -i FILE -o picture.png`";
    struct signature {
        std::size_t at;
        std::string_view mark;
        char const* kind;
        char const* advice;
    };
    for (signature const& known :
         {signature{4, "ftypcrx ", "a raw photo (CR3)", "convert it with `darktable-cli FILE picture.png`"},
          signature{4, "ftyp", "a video", video},
          signature{0, "RIFF", "a RIFF file (sound or video)", ""},
          signature{8, std::string_view("CR\2", 3), "a raw photo (CR2)",
                    "convert it with `dcraw -T FILE`, and that to PNG"},
          signature{0, std::string_view("II*\0", 4), "a TIFF picture", magick},
          signature{0, std::string_view("MM\0*", 4), "a TIFF picture", magick},
          signature{0, std::string_view("II+\0", 4), "a TIFF picture", magick},
          signature{0, std::string_view("MM\0+", 4), "a TIFF picture", magick},
          signature{0, "%PDF", "a PDF document", "draw its pages with `pdftoppm -r 150 -png FILE page`"},
          signature{0, "%!PS", "a PostScript document", magick},
          signature{0, "8BPS", "a Photoshop picture", magick},
          signature{0, "gimp xcf", "a GIMP picture", magick},
          signature{0, std::string_view("\0\0\1\0", 4), "an icon", magick},
          signature{0, "\xFF\x0A", "a JPEG XL picture", jxl},
          signature{0, std::string_view("\0\0\0\x0CJXL ", 8), "a JPEG XL picture", jxl},
          signature{0, std::string_view("\0\0\0\x0CjP  ", 8), "a JPEG 2000 picture", jp2},
          signature{0, "\xFF\x4F\xFF\x51", "a JPEG 2000 picture", jp2},
          signature{0, "qoif", "a QOI picture", magick},
          signature{0, "DDS ", "a DDS texture", magick},
          signature{0, "\x76\x2F\x31\x01", "an OpenEXR picture", magick},
          signature{0, "#?RADIANCE", "a Radiance picture", magick},
          signature{0, "\x1A\x45\xDF\xA3", "a video", video},
          signature{0, "\x1F\x8B", "a gzip archive", ""},
          signature{0, "PK\x03\x04", "a ZIP archive", ""},
          signature{0, "\x93NUMPY", "a NumPy array", ""},
          signature{0,
                    "\x7F"
                    "ELF",
                    "a program", ""}})
        if (file.has(known.at, known.mark)) return {known.kind, known.advice};
    std::string const text = detail::opening(file);
    if (text.find("<svg") != std::string::npos)
        return {"an SVG drawing", "draw it with `rsvg-convert FILE -o picture.png`"};
    if (text.starts_with("<?xml")) return {"an XML document", ""};
    bool const is_pnm = text.size() > 2 && text[0] == 'p' && ((text[1] >= '1' && text[1] <= '7') || text[1] == 'f')
                        && (text[2] == ' ' || text[2] == '\n' || text[2] == '\r' || text[2] == '\t');
    if (is_pnm) return {"a PNM picture", "convert it with `pnmtopng FILE > picture.png`"};
    auto const printable = [](unsigned char c) {
        return (c >= ' ' && c != 0x7F) || c == '\n' || c == '\r' || c == '\t';
    };
    if (std::all_of(text.begin(), text.end(), [](char c) { return c == 0; })) return {"a file of zeros", ""};
    if (std::all_of(text.begin(), text.end(), printable)) return {"a text file", ""};
    return {"no picture", ""};
}

} // namespace llamavision::image
