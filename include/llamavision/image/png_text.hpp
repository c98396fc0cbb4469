// SPDX-License-Identifier: Apache-2.0
// The texts of a PNG that can hold a picture's orientation: XMP, and EXIF data as ImageMagick writes them. Texts may be
// compressed; only those that count are unfolded, in bounded memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <llamavision/image/source.hpp>
#include <llamavision/image/stb.hpp>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace llamavision::image::detail {

/// Longer texts are ignored. (Pillow refuses the file.)
inline constexpr std::size_t most_png_text = std::size_t{1} << 20;

/// Unfolds a zlib stream; nothing if it is damaged or unfolds into more than `most_png_text` bytes.
inline std::vector<std::byte> unfolded_text(std::span<std::byte const> stream) {
    struct release {
        void operator()(char* block) const { std::free(block); }
    };
    stb::allocation_limit const limit(most_png_text);
    int length = 0;
    std::unique_ptr<char, release> const text(stb::stbi_zlib_decode_malloc_guesssize_headerflag(
        reinterpret_cast<char const*>(stream.data()), static_cast<int>(stream.size()), static_cast<int>(most_png_text),
        &length, 1));
    if (!text) return {};
    auto const bytes = std::as_bytes(std::span(text.get(), static_cast<std::size_t>(length)));
    return {bytes.begin(), bytes.end()};
}

/// EXIF data from hexadecimal digits, behind three lines (empty, "exif", their length); nothing if there are others.
inline std::vector<std::byte> exif_from_digits(std::span<std::byte const> text) {
    std::vector<std::byte> out;
    int lines = 0, high = -1;
    for (std::byte const b : text) {
        char const c = static_cast<char>(b);
        if (c == '\n') ++lines;
        if (lines < 3 || c == '\n' || c == ' ' || c == '\r' || c == '\t') continue;
        int const digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return {};
        if (high >= 0) out.push_back(static_cast<std::byte>(high * 16 + digit));
        high = high < 0 ? digit : -1;
    }
    return high < 0 ? out : std::vector<std::byte>{};
}

/// `block` with the mark that JPEGs have before their EXIF data.
inline std::vector<std::byte> with_exif_mark(std::span<std::byte const> block) {
    std::vector<std::byte> out;
    for (char const c : {'E', 'x', 'i', 'f', '\0', '\0'}) out.push_back(static_cast<std::byte>(c));
    out.insert(out.end(), block.begin(), block.end());
    return out;
}

/// The texts that count: of several with one keyword, the last.
class png_texts {
  public:
    /// Reads the chunk of kind tEXt, zTXt or iTXt whose `length` bytes begin at `at`: a keyword, 0, and
    ///   tEXt: the text;
    ///   zTXt: 0 (zlib), the stream;
    ///   iTXt: whether it is compressed, 0 (zlib), a language, 0, the keyword in that language, 0, the text or stream.
    /// tEXt with the keyword "exif" are EXIF data as they are.
    void read(source const& file, std::size_t at, std::size_t length, std::string_view kind, header& says) {
        auto rest = file.bytes.subspan(at, length);
        auto const take_until_zero = [&rest] {
            auto const zero = std::find(rest.begin(), rest.end(), std::byte{0});
            std::string_view const word(reinterpret_cast<char const*>(rest.data()),
                                        static_cast<std::size_t>(zero - rest.begin()));
            rest = rest.subspan(std::min(rest.size(), word.size() + 1));
            return word;
        };
        std::string_view const keyword = take_until_zero();
        if (kind == "tEXt" && keyword == "exif") says.exif.assign(rest.begin(), rest.end());
        bool const is_exif = keyword == "Raw profile type exif";
        if (!is_exif && keyword != "XML:com.adobe.xmp") return;
        text found;
        if (kind == "zTXt") {
            if (rest.empty() || rest[0] != std::byte{0}) return;
            rest = rest.subspan(1);
            found.is_compressed = true;
        } else if (kind == "iTXt") {
            if (rest.size() < 2) return;
            found.is_compressed = rest[0] != std::byte{0};
            if (found.is_compressed && rest[1] != std::byte{0}) return;
            rest = rest.subspan(2);
            static_cast<void>(take_until_zero());
            static_cast<void>(take_until_zero());
        }
        found.bytes = rest;
        (is_exif ? exif_ : xmp_) = found;
    }

    /// Unfolds what was found into the header, where that has nothing better.
    void unfold(header& says) const {
        if (says.exif.empty()) says.exif = exif_from_digits(exif_.unfolded());
        says.xmp = xmp_.unfolded();
    }

  private:
    struct text {
        std::span<std::byte const> bytes;
        bool is_compressed = false;

        [[nodiscard]] std::vector<std::byte> unfolded() const {
            return is_compressed ? unfolded_text(bytes) : std::vector<std::byte>(bytes.begin(), bytes.end());
        }
    };
    text exif_, xmp_;
};

} // namespace llamavision::image::detail
