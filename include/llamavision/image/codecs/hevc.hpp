// SPDX-License-Identifier: Apache-2.0
// What a HEIC file holds inside: libheif's releases check the container's sizes only, and an HEVC decoder takes memory
// for the size that its own stream says. So the streams' sizes are read here before (ITU-T H.265, 7.3.2.2.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <llamavision/image/source.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace llamavision::image::detail {

/// The bits of a NAL unit, without the bytes 3 that keep two zeros from being followed by what begins a unit. Behind
/// the end of the file all bits are 0.
class nal_bits {
  public:
    nal_bits(source const& file, std::size_t at) : file_(file), at_(at) {}

    std::uint32_t take(unsigned count) {
        std::uint32_t value = 0;
        for (; count > 0; --count) value = value << 1 | bit();
        return value;
    }
    void skip(unsigned count) {
        for (; count > 0; --count) (void)bit();
    }
    /// A number in Exp-Golomb code; none if it has more than 32 bits.
    std::optional<std::uint64_t> number() {
        unsigned zeros = 0;
        while (bit() == 0)
            if (++zeros > 31) return std::nullopt;
        return (std::uint64_t{1} << zeros) - 1 + take(zeros);
    }

  private:
    std::uint32_t bit() {
        if (left_ == 0) {
            if (zeros_ >= 2 && at_ < file_.size() && file_.u8(at_) == 3) zeros_ = 0, ++at_;
            held_ = at_ < file_.size() ? file_.u8(at_) : 0;
            ++at_;
            zeros_ = held_ == 0 ? zeros_ + 1 : 0;
            left_ = 8;
        }
        return held_ >> --left_ & 1;
    }

    source const& file_;
    std::size_t at_;
    std::uint32_t held_ = 0;
    unsigned left_ = 0;
    unsigned zeros_ = 0; ///< bytes of 0 before the next one
};

/// The number of pixels in the sequence parameter set whose two bytes of header are at `at`; none if it is none.
inline std::optional<std::uint64_t> pixels_of_parameter_set(source const& file, std::size_t at) {
    nal_bits bits(file, at + 2);
    bits.skip(4);
    unsigned const sub_layers = bits.take(3);
    bits.skip(1 + 96); // the profile and level of all layers
    unsigned profiles = 0, levels = 0;
    for (unsigned i = 0; i < sub_layers; ++i) {
        profiles += bits.take(1);
        levels += bits.take(1);
    }
    if (sub_layers > 0) bits.skip(2 * (8 - sub_layers));
    bits.skip(88 * profiles + 8 * levels);
    (void)bits.number();
    std::optional<std::uint64_t> const chroma = bits.number();
    if (chroma == 3) bits.skip(1);
    std::optional<std::uint64_t> const width = bits.number(), height = bits.number();
    if (!chroma || *chroma > 3 || !width || !height) return std::nullopt;
    return *width > 0 && *height > UINT64_MAX / *width ? UINT64_MAX : *width * *height;
}

/// Looks at every place of the file where a sequence parameter set may stand: behind its length, of two bytes in the
/// container and of four among the picture's data.
/// @throws image_error if one says more than `max_pixels` pixels
inline void check_hevc_sizes(source const& file, std::size_t max_pixels) {
    constexpr std::size_t longest = 4096;
    for (std::size_t at = 2; at + 2 < file.size(); ++at) {
        if (file.u8(at) != 0x42 || file.u8(at + 1) < 1 || file.u8(at + 1) > 7) continue; // type 33 of the first layer
        if (file.be16(at - 2) > longest) continue;
        std::optional<std::uint64_t> const pixel_count = pixels_of_parameter_set(file, at);
        if (pixel_count && *pixel_count > max_pixels)
            file.refuse("the HEVC stream in it says " + std::to_string(*pixel_count) + " pixels, more than the allowed "
                        + std::to_string(max_pixels));
    }
}

/// Refuses pictures that are stored in another way than with HEVC, whose decoders are not limited here.
/// @throws image_error
inline void check_stored_with_hevc(source const& file) {
    std::size_t const end = file.size() < (1u << 20) ? file.size() : 1u << 20;
    for (std::size_t at = 4; at + 18 <= end; ++at) {
        if (file.u8(at) != 'i' || !file.has(at, "infe")) continue; // a box that says what an item is
        std::size_t const type = file.u8(at + 4) >= 3 ? at + 14 : at + 12;
        for (std::string_view const other : {"av01", "avc1", "jpeg", "j2k1", "vvc1", "evc1", "unci"})
            if (file.has(type, other))
                file.refuse("a HEIF picture of type " + std::string(other) + "; only those with HEVC are decoded");
    }
}

} // namespace llamavision::image::detail
