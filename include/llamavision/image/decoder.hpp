// SPDX-License-Identifier: Apache-2.0
// Where picture decoders are registered: those of a program's own, and those on libwebp, libavif and libheif where the
// library was compiled with them (codecs/). A decoder reads the size first, so that a file which is too large is
// refused before its pixels are decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <llamavision/image/pixels.hpp>
#include <llamavision/image/source.hpp>
#include <llamavision/support/separate.hpp>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace llamavision::image {

/// What a file's header says.
struct picture_facts {
    std::size_t width = 0; ///< pixels of each frame, as it is stored: `orientation` is not applied yet
    std::size_t height = 0;
    std::size_t frames = 1;          ///< at least 1
    std::vector<unsigned> durations; ///< milliseconds that each frame is shown; empty: all equally long
    unsigned orientation = 1;        ///< 1 to 8, as in EXIF: how the stored picture is brought upright
};

/// A decoded picture: `height` rows of `width` pixels, without padding between rows. Alpha is not premultiplied.
struct raw_picture {
    std::size_t width = 0;
    std::size_t height = 0;
    pixel_format format = pixel_format::rgb;
    std::vector<std::uint8_t> data;
};

/// Decodes files of one format. Its members may be called from several threads at once. They are given bytes that
/// nobody has checked. What else than errors they throw comes out of `open` and `decode`.
class decoder {
  public:
    decoder() = default;
    decoder(decoder const&) = delete;
    decoder& operator=(decoder const&) = delete;
    virtual ~decoder() = default;

    /// The format's name in errors, such as "WebP".
    virtual std::string_view name() const = 0;

    /// Whether a file is of this format. `file` may hold no more than the first MiB of it.
    virtual bool recognises(source const& file) const = 0;

    /// Reads the header of a file that `recognises` accepted. It should allocate no memory for pixels.
    /// @param max_pixels the most pixels that a frame may have. Whoever calls checks the sizes that are returned; the
    ///        number is here for libraries that have a limit of their own.
    /// @throws image_error if the header is damaged
    virtual picture_facts read_header(source const& file, std::size_t max_pixels) const = 0;

    /// Decodes frames, each as a viewer shows it at its time: complete, and of the size that the header says.
    /// @param frames numbers from 0, ascending; below `picture_facts::frames`; at least one. All together have at most
    ///        `max_pixels` pixels.
    /// @throws image_error if the file is damaged
    virtual std::vector<raw_picture> decode(source const& file, std::span<std::size_t const> frames,
                                            std::size_t max_pixels) const = 0;
};

/// Registers a decoder for the rest of the program, for all threads. Decoders are asked before the formats that the
/// library reads itself, the one that was added last first: so a program can also replace the decoder of a format.
/// @throws argument_error for a null pointer
LLAMAVISION_INLINE void add_decoder(std::shared_ptr<decoder const> added);

/// The registered decoders in the order in which they are asked.
LLAMAVISION_INLINE std::vector<std::shared_ptr<decoder const>> decoders();

} // namespace llamavision::image

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/image/decoder.ipp>
#endif
