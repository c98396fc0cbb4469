// SPDX-License-Identifier: Apache-2.0
// AVIF through libavif, with the settings that Pillow gives it.
#pragma once

#include <algorithm>
#include <avif/avif.h>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/decoder.hpp>
#include <llamavision/image/exif.hpp>
#include <llamavision/image/format.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::image::detail {

class avif_decoder final : public decoder {
  public:
    std::string_view name() const override { return "AVIF"; }

    bool recognises(source const& file) const override { return is_avif(file); }

    picture_facts read_header(source const& file, std::size_t max_pixels) const override {
        handle const parsed = parse(file, max_pixels);
        picture_facts says;
        says.width = parsed->image->width;
        says.height = parsed->image->height;
        if (parsed->imageCount < 1) file.refuse("an AVIF without a picture");
        says.frames = static_cast<std::size_t>(parsed->imageCount);
        for (std::size_t i = 0; i < says.frames && says.frames > 1; ++i) {
            avifImageTiming timing;
            if (avifDecoderNthImageTiming(parsed.get(), static_cast<std::uint32_t>(i), &timing) != AVIF_RESULT_OK)
                file.refuse("a damaged AVIF: frame " + std::to_string(i + 1) + " has no time");
            says.durations.push_back(static_cast<unsigned>(std::clamp(timing.duration * 1000, 0.0, 1e9)));
        }
        says.orientation = orientation_of(*parsed->image);
        return says;
    }

    std::vector<raw_picture> decode(source const& file, std::span<std::size_t const> frames,
                                    std::size_t max_pixels) const override {
        handle const parsed = parse(file, max_pixels);
        std::vector<raw_picture> out;
        out.reserve(frames.size());
        for (std::size_t const wanted : frames) {
            check(file, avifDecoderNthImage(parsed.get(), static_cast<std::uint32_t>(wanted)), "cannot be decoded");
            bool const has_alpha = parsed->alphaPresent != 0;
            avifRGBImage rgb{};
            avifRGBImageSetDefaults(&rgb, parsed->image);
            rgb.depth = 8;
            rgb.format = has_alpha ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
            raw_picture picture{rgb.width, rgb.height, has_alpha ? pixel_format::rgba : pixel_format::rgb, {}};
            // The frame's own header may say another size than the container, whose size was checked.
            if (picture.width * picture.height > max_pixels)
                file.refuse("a damaged AVIF: a frame has another size than its header says");
            std::size_t const row_bytes = picture.width * bytes_per_pixel(picture.format);
            picture.data.resize(row_bytes * picture.height);
            rgb.pixels = picture.data.data();
            rgb.rowBytes = static_cast<std::uint32_t>(row_bytes);
            check(file, avifImageYUVToRGB(parsed->image, &rgb), "cannot be converted to RGB");
            out.push_back(std::move(picture));
        }
        return out;
    }

  private:
    struct deleter {
        void operator()(avifDecoder* open) const { avifDecoderDestroy(open); }
    };
    using handle = std::unique_ptr<avifDecoder, deleter>;

    static void check(source const& file, avifResult result, char const* what) {
        if (result != AVIF_RESULT_OK) file.refuse(std::string(what) + " (libavif: " + avifResultToString(result) + ")");
    }

    static handle parse(source const& file, std::size_t max_pixels) {
        handle parsed(avifDecoderCreate());
        if (!parsed) throw image_error(std::string(file.name) + ": no memory for libavif");
        parsed->maxThreads = 1;
        parsed->strictFlags &= ~static_cast<avifStrictFlags>(AVIF_STRICT_PIXI_REQUIRED | AVIF_STRICT_CLAP_VALID);
        // libavif takes limits below its own only, and hands them to the AV1 decoder.
        parsed->imageSizeLimit =
            static_cast<std::uint32_t>(std::clamp<std::size_t>(max_pixels, 1, AVIF_DEFAULT_IMAGE_SIZE_LIMIT));
        check(
            file,
            avifDecoderSetIOMemory(parsed.get(), reinterpret_cast<std::uint8_t const*>(file.bytes.data()), file.size()),
            "cannot be read");
        check(file, avifDecoderParse(parsed.get()), "a damaged, truncated or too large AVIF");
        return parsed;
    }

    /// Exchanges top and bottom (0), or left and right (1). The member's name depends on the release.
    template <class Mirror>
    static bool left_and_right(Mirror const& mirror) {
        if constexpr (requires { mirror.axis; })
            return mirror.axis != 0;
        else
            return mirror.mode != 0;
    }

    static std::span<std::byte const> bytes_of(avifRWData const& data) {
        return {reinterpret_cast<std::byte const*>(data.data), data.size};
    }

    /// The container's orientation counts, also if EXIF data have another one. XMP is asked where both say nothing.
    static unsigned orientation_of(avifImage const& picture) {
        unsigned const turned = container_orientation(picture);
        bool const is_said = turned != 1 || orientation_entry(bytes_of(picture.exif));
        return is_said ? turned : xmp_orientation(bytes_of(picture.xmp));
    }

    /// The EXIF orientation that does the same as the container's properties: first a rotation counter-clockwise by a
    /// number of quarter turns, then a mirror.
    static unsigned container_orientation(avifImage const& picture) {
        unsigned const turns = (picture.transformFlags & AVIF_TRANSFORM_IROT) != 0 ? picture.irot.angle % 4u : 0;
        constexpr unsigned turned[4] = {1, 8, 3, 6};
        constexpr unsigned mirrored[2][4] = {{4, 5, 2, 7}, {2, 7, 4, 5}}; // top and bottom; left and right
        if ((picture.transformFlags & AVIF_TRANSFORM_IMIR) == 0) return turned[turns];
        return mirrored[left_and_right(picture.imir) ? 1 : 0][turns];
    }
};

} // namespace llamavision::image::detail
