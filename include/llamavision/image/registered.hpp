// SPDX-License-Identifier: Apache-2.0
// How a registered decoder is used: its header is checked before it decodes, and its pictures after that.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/image/decoder.hpp>
#include <llamavision/image/exif.hpp>
#include <llamavision/image/open_options.hpp>
#include <llamavision/image/pixels.hpp>
#include <llamavision/image/source.hpp>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::image::detail {

/// The registered decoder of a file; null if none recognises it.
inline std::shared_ptr<decoder const> decoder_of(source const& file) {
    for (std::shared_ptr<decoder const> const& known : decoders())
        if (known->recognises(file)) return known;
    return nullptr;
}

/// "PNG, JPEG, BMP, GIF and WebP".
inline std::string accepted_formats() {
    std::vector<std::string> names{"PNG", "JPEG", "BMP", "GIF"};
    for (std::shared_ptr<decoder const> const& known : decoders())
        if (std::find(names.begin(), names.end(), known->name()) == names.end()) names.emplace_back(known->name());
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i)
        text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
    return text;
}

/// What a registered decoder says about a file, with sizes checked.
inline picture_facts facts_of(decoder const& known, source const& file, std::size_t max_pixels) {
    picture_facts says = known.read_header(file, max_pixels);
    std::string const size = std::to_string(says.width) + " x " + std::to_string(says.height) + " pixels";
    if (says.frames == 0) file.refuse("has no frames");
    if (says.width == 0 || says.height == 0) file.refuse("its header says " + size);
    if (says.height > max_pixels / says.width)
        file.refuse("its header says " + size + ", more than the allowed " + std::to_string(max_pixels));
    if (says.orientation == 0 || says.orientation > 8)
        file.refuse("the decoder for " + std::string(known.name()) + " says an orientation of "
                    + std::to_string(says.orientation));
    return says;
}

/// Decodes frames with a registered decoder, and checks what it returns.
inline std::vector<pixels> decode_frames_with(decoder const& known, source const& file, picture_facts const& says,
                                              std::span<std::size_t const> frames, open_options const& options) {
    std::vector<raw_picture> raw = known.decode(file, frames, options.max_pixels);
    if (raw.size() != frames.size()) file.refuse("cannot be decoded: frames are missing");
    std::vector<pixels> out;
    out.reserve(raw.size());
    for (raw_picture& picture : raw) {
        if (picture.width != says.width || picture.height != says.height
            || picture.data.size() != says.width * says.height * bytes_per_pixel(picture.format))
            file.refuse("cannot be decoded: the picture has not the size that its header says");
        pixels plain = from_raw({picture.data.data(), picture.width, picture.height, 0, picture.format}, options.alpha);
        picture.data = {}; // before `upright` takes memory
        out.push_back(options.exif == exif_policy::apply ? upright(std::move(plain), says.orientation)
                                                         : std::move(plain));
    }
    return out;
}

} // namespace llamavision::image::detail
