// SPDX-License-Identifier: Apache-2.0
// WebP through libwebp. As in Pillow, every file goes through the decoder of animations, which draws a picture onto a
// transparent canvas.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/decoder.hpp>
#include <llamavision/image/exif.hpp>
#include <memory>
#include <string_view>
#include <vector>
#include <webp/decode.h>
#include <webp/demux.h>

namespace llamavision::image::detail {

class webp_decoder final : public decoder {
  public:
    std::string_view name() const override { return "WebP"; }

    bool recognises(source const& file) const override { return file.has(0, "RIFF") && file.has(8, "WEBP"); }

    picture_facts read_header(source const& file, std::size_t) const override {
        WebPBitstreamFeatures const features = features_of(file);
        picture_facts says;
        says.width = static_cast<std::size_t>(features.width);
        says.height = static_cast<std::size_t>(features.height);
        WebPData const data = data_of(file);
        std::unique_ptr<WebPDemuxer, deleter> const parts(WebPDemux(&data));
        if (!parts) file.refuse("a damaged or truncated WebP");
        says.frames = WebPDemuxGetI(parts.get(), WEBP_FF_FRAME_COUNT);
        if (says.frames == 0) file.refuse("a WebP without a picture");
        WebPIterator frame;
        if (WebPDemuxGetFrame(parts.get(), 1, &frame) != 0) do
                says.durations.push_back(static_cast<unsigned>(std::max(frame.duration, 0)));
            while (WebPDemuxNextFrame(&frame) != 0);
        WebPDemuxReleaseIterator(&frame);
        if (says.durations.size() != says.frames) file.refuse("a damaged WebP: a frame is missing");
        header metadata;
        metadata.exif = chunk_of(*parts, "EXIF");
        metadata.xmp = chunk_of(*parts, "XMP ");
        says.orientation = orientation_of(metadata);
        return says;
    }

    std::vector<raw_picture> decode(source const& file, std::span<std::size_t const> frames,
                                    std::size_t) const override {
        bool const has_alpha = features_of(file).has_alpha != 0;
        WebPAnimDecoderOptions options;
        WebPData const data = data_of(file);
        std::unique_ptr<WebPAnimDecoder, deleter> screen;
        if (WebPAnimDecoderOptionsInit(&options) != 0) {
            options.color_mode = MODE_RGBA;
            screen.reset(WebPAnimDecoderNew(&data, &options));
        }
        WebPAnimInfo info;
        if (!screen || WebPAnimDecoderGetInfo(screen.get(), &info) == 0)
            file.refuse("cannot be decoded: libwebp refuses the file, or memory is short");
        std::size_t const pixel_count = std::size_t{info.canvas_width} * info.canvas_height;
        std::vector<raw_picture> out;
        out.reserve(frames.size());
        std::size_t next = 0; // the number of the frame that libwebp decodes next
        for (std::size_t const wanted : frames) {
            std::uint8_t* rgba = nullptr;
            for (int end_of_frame = 0; next <= wanted; ++next)
                if (WebPAnimDecoderGetNext(screen.get(), &rgba, &end_of_frame) == 0)
                    file.refuse("cannot be decoded: damaged picture data in frame " + std::to_string(next + 1));
            raw_picture picture{info.canvas_width, info.canvas_height, pixel_format::rgba, {}};
            picture.data.assign(rgba, rgba + 4 * pixel_count);
            if (!has_alpha) // the canvas around a frame counts as opaque black, as in Pillow
                for (std::size_t i = 0; i < pixel_count; ++i) picture.data[4 * i + 3] = 255;
            out.push_back(std::move(picture));
        }
        return out;
    }

  private:
    struct deleter {
        void operator()(WebPDemuxer* parts) const { WebPDemuxDelete(parts); }
        void operator()(WebPAnimDecoder* screen) const { WebPAnimDecoderDelete(screen); }
    };

    static WebPData data_of(source const& file) {
        return {reinterpret_cast<std::uint8_t const*>(file.bytes.data()), file.size()};
    }

    static WebPBitstreamFeatures features_of(source const& file) {
        WebPBitstreamFeatures features;
        WebPData const data = data_of(file);
        if (WebPGetFeatures(data.bytes, data.size, &features) != VP8_STATUS_OK || features.width < 1
            || features.height < 1)
            file.refuse("a damaged or truncated WebP");
        return features;
    }

    /// The first chunk of that name; empty if there is none.
    static std::vector<std::byte> chunk_of(WebPDemuxer const& parts, char const* name) {
        WebPChunkIterator chunk;
        std::vector<std::byte> found;
        if (WebPDemuxGetChunk(&parts, name, 1, &chunk) != 0) {
            auto const* bytes = reinterpret_cast<std::byte const*>(chunk.chunk.bytes);
            found.assign(bytes, bytes + chunk.chunk.size);
        }
        WebPDemuxReleaseChunkIterator(&chunk);
        return found;
    }
};

} // namespace llamavision::image::detail
