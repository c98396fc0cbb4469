// SPDX-License-Identifier: Apache-2.0
// HEIC (HEIF with HEVC) through libheif: the primary picture. libheif itself crops, rotates and mirrors as the
// container says.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <libheif/heif.h>
#include <llamavision/image/codecs/hevc.hpp>
#include <llamavision/image/decoder.hpp>
#include <llamavision/image/format.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::image::detail {

class heif_decoder final : public decoder {
  public:
    std::string_view name() const override { return "HEIC"; }

    bool recognises(source const& file) const override { return is_heic(file); }

    picture_facts read_header(source const& file, std::size_t max_pixels) const override {
        check_stored_with_hevc(file);
        check_hevc_sizes(file, max_pixels);
        opened const parsed(file);
        picture_facts says;
        says.width = static_cast<std::size_t>(std::max(heif_image_handle_get_width(parsed.primary.get()), 0));
        says.height = static_cast<std::size_t>(std::max(heif_image_handle_get_height(parsed.primary.get()), 0));
        return says;
    }

    std::vector<raw_picture> decode(source const& file, std::span<std::size_t const> frames,
                                    std::size_t max_pixels) const override {
        opened const parsed(file);
        bool const has_alpha = heif_image_handle_has_alpha_channel(parsed.primary.get()) != 0;
        std::unique_ptr<heif_decoding_options, deleter> const options(heif_decoding_options_alloc());
        if (!options) throw image_error(std::string(file.name) + ": no memory for libheif");
        options->convert_hdr_to_8bit = 1;
        heif_image* decoded = nullptr;
        heif_error const result =
            heif_decode_image(parsed.primary.get(), &decoded, heif_colorspace_RGB,
                              has_alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, options.get());
        std::unique_ptr<heif_image, deleter> const image(decoded);
        check(file, result, "cannot be decoded");
        int stride = 0;
        std::uint8_t const* row = heif_image_get_plane_readonly(image.get(), heif_channel_interleaved, &stride);
        raw_picture picture;
        picture.width =
            static_cast<std::size_t>(std::max(heif_image_get_width(image.get(), heif_channel_interleaved), 0));
        picture.height =
            static_cast<std::size_t>(std::max(heif_image_get_height(image.get(), heif_channel_interleaved), 0));
        picture.format = has_alpha ? pixel_format::rgba : pixel_format::rgb;
        std::size_t const row_bytes = picture.width * bytes_per_pixel(picture.format);
        if (row == nullptr || stride < 0 || static_cast<std::size_t>(stride) < row_bytes
            || picture.width * picture.height > max_pixels)
            file.refuse("a damaged HEIC: it decodes to no picture of the size that its header says");
        picture.data.resize(row_bytes * picture.height);
        for (std::size_t y = 0; y < picture.height; ++y, row += stride)
            std::memcpy(picture.data.data() + y * row_bytes, row, row_bytes);
        if (has_alpha && heif_image_handle_is_premultiplied_alpha(parsed.primary.get()) != 0) divide(picture);
        return std::vector<raw_picture>(frames.size(), picture);
    }

  private:
    struct deleter {
        void operator()(heif_context* c) const { heif_context_free(c); }
        void operator()(heif_image_handle* h) const { heif_image_handle_release(h); }
        void operator()(heif_image* i) const { heif_image_release(i); }
        void operator()(heif_decoding_options* o) const { heif_decoding_options_free(o); }
    };

    static void check(source const& file, heif_error const& result, char const* what) {
        if (result.code != heif_error_Ok)
            file.refuse(std::string(what) + " (libheif: " + (result.message ? result.message : "no reason") + ")");
    }

    /// A file that libheif has parsed. The bytes of `file` must outlive it.
    struct opened {
        explicit opened(source const& file) : context(heif_context_alloc()) {
            if (!context) throw image_error(std::string(file.name) + ": no memory for libheif");
            heif_context_set_max_decoding_threads(context.get(), 0); // no threads of its own
            check(file,
                  heif_context_read_from_memory_without_copy(context.get(), file.bytes.data(), file.size(), nullptr),
                  "a damaged or truncated HEIC");
            heif_image_handle* found = nullptr;
            heif_error const result = heif_context_get_primary_image_handle(context.get(), &found);
            primary.reset(found);
            check(file, result, "a HEIC without a picture");
        }
        std::unique_ptr<heif_context, deleter> context;
        std::unique_ptr<heif_image_handle, deleter> primary;
    };

    /// Colours that were multiplied by alpha become plain ones, as Pillow's convert("RGBA") makes them.
    static void divide(raw_picture& picture) {
        for (std::size_t i = 0; i + 3 < picture.data.size(); i += 4) {
            unsigned const alpha = picture.data[i + 3];
            if (alpha == 0 || alpha == 255) continue;
            for (std::size_t c = i; c < i + 3; ++c)
                picture.data[c] = static_cast<std::uint8_t>(std::min(255u * picture.data[c] / alpha, 255u));
        }
    }
};

} // namespace llamavision::image::detail
