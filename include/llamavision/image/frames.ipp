// SPDX-License-Identifier: Apache-2.0
// Chooses frames, and decodes those that were chosen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <llamavision/image/frames.hpp>
#include <llamavision/image/gif_frames.hpp>
#include <llamavision/image/open.hpp>
#include <llamavision/image/picture_file.hpp>
#include <llamavision/image/registered.hpp>
#include <llamavision/support/error.hpp>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace llamavision::image {

namespace detail {

/// Whether a name comes before another, with numbers compared as numbers.
inline bool comes_before(std::string_view a, std::string_view b) {
    auto const is_digit = [](char c) { return c >= '0' && c <= '9'; };
    auto const take_number = [&](std::string_view& text) {
        std::size_t end = 0;
        while (end < text.size() && is_digit(text[end])) ++end;
        std::string_view number = text.substr(0, end);
        text.remove_prefix(end);
        while (number.size() > 1 && number[0] == '0') number.remove_prefix(1);
        return number;
    };
    std::string_view rest_a = a, rest_b = b;
    while (!rest_a.empty() && !rest_b.empty()) {
        if (is_digit(rest_a[0]) && is_digit(rest_b[0])) {
            std::string_view const left = take_number(rest_a), right = take_number(rest_b);
            if (left.size() != right.size()) return left.size() < right.size();
            if (left != right) return left < right;
        } else if (rest_a[0] != rest_b[0]) {
            return rest_a[0] < rest_b[0];
        } else {
            rest_a.remove_prefix(1);
            rest_b.remove_prefix(1);
        }
    }
    return rest_a.empty() == rest_b.empty() ? a < b : rest_a.empty();
}

/// The files of a folder, in order.
inline std::vector<std::filesystem::path> files_in(std::filesystem::path const& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code failure;
    for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
         entry.increment(failure)) {
        std::error_code ignored;
        if (entry->path().filename().string().starts_with('.') || !entry->is_regular_file(ignored)) continue;
        files.push_back(entry->path());
    }
    if (failure) throw file_error(folder.string() + ": cannot be read: " + failure.message());
    if (files.empty()) throw file_error(folder.string() + ": has no pictures in it");
    std::sort(files.begin(), files.end(),
              [](auto const& a, auto const& b) { return comes_before(a.filename().string(), b.filename().string()); });
    return files;
}

} // namespace detail

LLAMAVISION_INLINE std::vector<std::size_t> choose_frames(std::span<unsigned const> durations, std::size_t count) {
    if (count == 0) throw argument_error("the number of frames must be at least 1, not 0");
    std::size_t const all = durations.size();
    std::vector<std::size_t> chosen(std::min(count, all));
    std::iota(chosen.begin(), chosen.end(), std::size_t{0});
    if (count >= all) return chosen;
    std::uint64_t const whole = std::accumulate(durations.begin(), durations.end(), std::uint64_t{0});
    auto const length = [&](std::size_t frame) { return whole == 0 ? 1.0 : static_cast<double>(durations[frame]); };
    double const part =
        (whole == 0 ? static_cast<double>(all) : static_cast<double>(whole)) / static_cast<double>(count);
    std::size_t frame = 0;
    double ends = length(0); // when `frame` is replaced by the next one
    for (std::size_t i = 0; i < count; ++i) {
        double const middle = (static_cast<double>(i) + 0.5) * part;
        while (frame + 1 < all && ends <= middle) ends += length(++frame);
        std::size_t const first = i == 0 ? 0 : chosen[i - 1] + 1;
        chosen[i] = std::clamp(frame, first, all - (count - i)); // as many must be left as are still to be chosen
    }
    return chosen;
}

LLAMAVISION_INLINE std::vector<pixels> decode_frames(std::span<std::byte const> bytes, std::string_view name,
                                                     std::size_t count, open_options const& options) {
    if (count == 0) throw argument_error("the number of frames must be at least 1, not 0");
    source const file{bytes, name};
    if (bytes.size() > options.max_bytes) return {decode(bytes, name, options)}; // refuses it
    auto known = detail::decoder_of(file);
    if (!known && format_of(file) == file_format::gif) known = std::make_shared<detail::gif_decoder>();
    if (!known) return {decode(bytes, name, options)};
    picture_facts facts = detail::facts_of(*known, file, options.max_pixels);
    if (facts.frames == 1) return {decode(bytes, name, options)};
    if (facts.durations.size() != facts.frames) facts.durations.assign(facts.frames, 0);
    std::vector<std::size_t> const chosen = choose_frames(facts.durations, count);
    std::size_t const one = facts.width * facts.height;
    if (chosen.size() > options.max_pixels / one)
        file.refuse(std::to_string(chosen.size()) + " frames of " + std::to_string(facts.width) + " x "
                    + std::to_string(facts.height) + " pixels, more than the allowed "
                    + std::to_string(options.max_pixels) + " together");
    if (chosen.back() / 32 > options.max_pixels / one)
        file.refuse(std::to_string(chosen.back() + 1) + " frames of " + std::to_string(facts.width) + " x "
                    + std::to_string(facts.height) + " pixels would have to be drawn, which is too many");
    return detail::decode_frames_with(*known, file, facts, chosen, options);
}

LLAMAVISION_INLINE std::vector<pixels> open_frames(std::filesystem::path const& path, std::size_t count,
                                                   open_options const& options) {
    if (count == 0) throw argument_error("the number of frames must be at least 1, not 0");
    std::error_code failure;
    if (!std::filesystem::is_directory(path, failure)) {
        std::string const name = path.string();
        return decode_frames(detail::read_picture_file(path, options.max_bytes), name, count, options);
    }
    std::vector<std::filesystem::path> const files = detail::files_in(path);
    std::vector<unsigned> const equal(files.size(), 1);
    std::vector<pixels> out;
    std::size_t pixel_count = 0;
    for (std::size_t const number : choose_frames(equal, count)) {
        out.push_back(open(files[number], options));
        pixel_count += out.back().width * out.back().height;
        if (pixel_count > options.max_pixels)
            throw image_error(path.string() + ": its pictures have more than the allowed "
                              + std::to_string(options.max_pixels) + " pixels together");
    }
    return out;
}

} // namespace llamavision::image
