// SPDX-License-Identifier: Apache-2.0
// Decodes picture files: checks the header, and decodes; PNG and the coefficients of JPEGs by stb_image with a limit on
// memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <llamavision/image/bmp.hpp>
#include <llamavision/image/exif.hpp>
#include <llamavision/image/format.hpp>
#include <llamavision/image/gif.hpp>
#include <llamavision/image/jpeg.hpp>
#include <llamavision/image/jpeg_pixels.hpp>
#include <llamavision/image/open.hpp>
#include <llamavision/image/picture_file.hpp>
#include <llamavision/image/png.hpp>
#include <llamavision/image/png_checksums.hpp>
#include <llamavision/image/registered.hpp>
#include <llamavision/image/source.hpp>
#include <llamavision/image/stb.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/misplaced_file.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::image {

namespace detail {

struct release {
    void operator()(unsigned char* block) const { std::free(block); }
};

/// A PNG from stb_image: 1 to 4 channels of 8 bits.
struct decoded {
    std::unique_ptr<unsigned char, release> data;
    std::size_t width, height;
    pixel_format format;
};

/// The largest block of memory that a decoder needs: 16 bytes for each pixel (an interlaced PNG with 16 bits a channel,
/// whose buffer is doubled when it is full) and some for each row, with sides rounded up; and twice the size of the
/// file.
inline std::size_t largest_block(source const& file, header const& says) {
    std::size_t const columns = round_up(says.width, says.side_step);
    std::size_t const rows = round_up(says.height, says.side_step);
    return 16 * (columns + 1) * rows + 2 * file.size() + (std::size_t{1} << 16);
}

/// Refuses a file that stb_image refused.
[[noreturn]] inline void refuse_undecoded(source const& file, stb::allocation_limit const& limit) {
    if (limit.refused) file.refuse("damaged: it unfolds into more data than its header says");
    char const* const reason = stb::stbi_failure_reason();
    file.refuse(std::string("cannot be decoded: ") + (reason && *reason ? reason : "damaged picture data"));
}

/// Checks that stb_image found the size that was checked.
inline void check_decoded_size(source const& file, header const& says, std::size_t width, std::size_t height) {
    if (width != says.width || height != says.height)
        file.refuse("cannot be decoded: the picture has not the size that its header says");
}

inline decoded decode_bytes(source const& file, header const& says) {
    stb::allocation_limit const limit(largest_block(file, says));
    stb::stbi__g_failure_reason = nullptr;
    int width = 0, height = 0, channels = 0;
    auto const* bytes = reinterpret_cast<unsigned char const*>(file.bytes.data());
    decoded result;
    result.data.reset(stb::stbi_load_from_memory(bytes, static_cast<int>(file.size()), &width, &height, &channels, 0));
    if (!result.data) refuse_undecoded(file, limit);
    result.width = static_cast<std::size_t>(width);
    result.height = static_cast<std::size_t>(height);
    check_decoded_size(file, says, result.width, result.height);
    result.format = channels == 1   ? pixel_format::grey
                    : channels == 2 ? pixel_format::grey_alpha
                    : channels == 3 ? pixel_format::rgb
                                    : pixel_format::rgba;
    return result;
}

/// stb_image's decoder of one JPEG.
class jpeg_decoder {
  public:
    explicit jpeg_decoder(source const& file) : jpeg_(std::make_unique<stb::stbi__jpeg>()) {
        stb::stbi__start_mem(&bytes_, reinterpret_cast<unsigned char const*>(file.bytes.data()),
                             static_cast<int>(file.size()));
        bytes_.img_n = 0;
        jpeg_->s = &bytes_;
        stb::stbi__setup_jpeg(jpeg_.get());
        jpeg_->idct_block_kernel = inverse_dct;
    }
    jpeg_decoder(jpeg_decoder const&) = delete;
    jpeg_decoder& operator=(jpeg_decoder const&) = delete;
    ~jpeg_decoder() { stb::stbi__cleanup_jpeg(jpeg_.get()); }

    /// The planes of all components. They live as long as the decoder.
    /// @throws image_error if the data are damaged, or a plane's resolution is no whole part of another's
    std::vector<jpeg_plane> planes(source const& file, header const& says, stb::allocation_limit const& limit) {
        stb::stbi__g_failure_reason = nullptr;
        std::size_t const before = inverse_dct_calls;
        if (!stb::stbi__decode_jpeg_image(jpeg_.get())) refuse_undecoded(file, limit);
        check_decoded_size(file, says, bytes_.img_x, bytes_.img_y);
        // Where no restart mark follows an interval, releases of stb_image leave the rest of the picture empty.
        if (std::size_t const blocks = least_blocks(), seen = inverse_dct_calls - before; seen < blocks)
            file.refuse("a damaged JPEG: " + std::to_string(seen) + " of its " + std::to_string(blocks)
                        + " blocks stand before an interval without a restart mark");
        std::vector<jpeg_plane> out;
        for (int i = 0; i < bytes_.img_n; ++i) {
            auto const& component = jpeg_->img_comp[i];
            if (jpeg_->img_h_max % component.h != 0 || jpeg_->img_v_max % component.v != 0)
                file.refuse("a JPEG whose planes have resolutions of no whole ratio, which is not supported");
            auto const size = [](int value) { return static_cast<std::size_t>(value); };
            out.push_back({component.data, size(component.x), size(component.y), size(component.w2),
                           size(jpeg_->img_h_max / component.h), size(jpeg_->img_v_max / component.v)});
        }
        return out;
    }

  private:
    /// How many blocks a whole file has at least. A scan of several components also has those that fill up its units.
    [[nodiscard]] std::size_t least_blocks() const {
        bool const in_units = jpeg_->scan_n > 1 && jpeg_->scan_n == bytes_.img_n;
        std::size_t blocks = 0;
        for (int i = 0; i < bytes_.img_n; ++i) {
            auto const& component = jpeg_->img_comp[i];
            int const width = in_units ? component.w2 : component.x, height = in_units ? component.h2 : component.y;
            blocks += ceil_div(static_cast<std::size_t>(width), 8) * ceil_div(static_cast<std::size_t>(height), 8);
        }
        return blocks;
    }

    stb::stbi__context bytes_{};
    std::unique_ptr<stb::stbi__jpeg> jpeg_;
};

inline pixels decode_jpeg(source const& file, jpeg_header const& says) {
    std::vector<std::byte> const copy = says.edits.empty() ? std::vector<std::byte>{} : edited(file, says);
    source const settled{says.edits.empty() ? file.bytes.first(says.end) : copy, file.name};
    stb::allocation_limit const limit(largest_block(settled, says));
    jpeg_decoder decoder(settled);
    return pixels_of_planes(decoder.planes(settled, says, limit), says);
}

inline pixels decode_plain(source const& file, header const& says, alpha_policy alpha) {
    decoded const raw = decode_bytes(file, says);
    return from_raw({raw.data.get(), raw.width, raw.height, 0, raw.format},
                    says.alpha_means_nothing ? alpha_policy::drop : alpha);
}

} // namespace detail

LLAMAVISION_INLINE pixels decode(std::span<std::byte const> bytes, std::string_view name, open_options const& options) {
    source const file{bytes, name};
    if (bytes.size() > options.max_bytes || bytes.size() > 0x7FFFFFFF)
        file.refuse("a file of " + std::to_string(bytes.size()) + " bytes, more than is allowed for a picture");
    if (auto const known = detail::decoder_of(file)) {
        picture_facts const facts = detail::facts_of(*known, file, options.max_pixels);
        std::size_t const first = 0;
        return std::move(detail::decode_frames_with(*known, file, facts, {&first, 1}, options).front());
    }
    header says;
    pixels out;
    switch (format_of(file)) {
    case file_format::png:
        says = detail::read_png_header(file);
        check_size(file, says, options.max_pixels);
        detail::check_png_checksums(file);
        out = detail::decode_plain(file, says, options.alpha);
        break;
    case file_format::jpeg: {
        detail::jpeg_header const jpeg = detail::read_jpeg(file);
        says = jpeg;
        check_size(file, says, options.max_pixels);
        out = detail::decode_jpeg(file, jpeg);
        break;
    }
    case file_format::bmp: {
        detail::bmp_header const bmp = detail::read_bmp_header(file, options.max_pixels);
        std::vector<std::uint8_t> const raw = detail::decode_bmp(file, bmp);
        out = from_raw({raw.data(), bmp.width, bmp.height, 0, pixel_format::rgba}, options.alpha);
        break;
    }
    case file_format::gif: {
        detail::gif_header const gif = detail::read_gif_header(file);
        check_size(file, gif, options.max_pixels);
        out = detail::decode_gif(file, gif, options.alpha);
        break;
    }
    case file_format::other: {
        if (auto const what = misplaced_file(detail::first_text(file)); !what.empty()) file.refuse(std::string(what));
        file_kind const found = recognise(file);
        file.refuse("looks like " + found.kind + "; " + (found.advice.empty() ? "" : found.advice + "; ")
                    + detail::accepted_formats() + " pictures are accepted");
    }
    }
    return options.exif == exif_policy::apply ? upright(std::move(out), orientation_of(says)) : out;
}

LLAMAVISION_INLINE pixels open(std::filesystem::path const& path, open_options const& options) {
    return decode(detail::read_picture_file(path, options.max_bytes), path.string(), options);
}

} // namespace llamavision::image
