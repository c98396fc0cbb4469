// SPDX-License-Identifier: Apache-2.0
// Draws the pictures of scenes: shapes on a ground, or a meter with digits.
// Integers only, so that a picture is the same bytes on every machine.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::scenes {

/// Random integers (splitmix64); `hash` is a bijection, so no two indices of one seed have the same start.
class dice {
  public:
    dice(std::uint64_t seed, std::uint64_t index) : state_{hash(hash(seed) + index)} {}

    static constexpr std::uint64_t hash(std::uint64_t x) {
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
        return x ^ (x >> 31);
    }
    std::uint64_t next() { return hash(state_ += 0x9e3779b97f4a7c15U); }
    /// From 0 to n - 1.
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(((next() >> 32) * n) >> 32); }
    /// From low to high, both included.
    int between(int low, int high) { return low + static_cast<int>(below(static_cast<std::size_t>(high - low + 1))); }
    bool chance(int percent) { return between(0, 99) < percent; }
    template <class T>
    const T& pick(const std::vector<T>& from) {
        return from[below(from.size())];
    }
    template <class T>
    void shuffle(std::vector<T>& v) {
        for (std::size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[below(i)]);
    }

  private:
    std::uint64_t state_;
};

using colour = std::array<int, 3>;

struct named_colour {
    std::string name;
    colour rgb;
};

inline const std::vector<named_colour>& colours() {
    static const std::vector<named_colour> all{
        {"red", {212, 44, 40}},     {"green", {44, 156, 66}},   {"blue", {46, 88, 214}},    {"yellow", {242, 208, 46}},
        {"purple", {146, 58, 178}}, {"orange", {242, 136, 34}}, {"white", {247, 247, 244}}, {"black", {26, 26, 28}}};
    return all;
}

inline const std::vector<named_colour>& backgrounds() {
    static const std::vector<named_colour> all{{"grey", {128, 132, 136}},
                                               {"beige", {220, 204, 168}},
                                               {"navy", {22, 34, 84}},
                                               {"pink", {242, 188, 202}},
                                               {"mint", {162, 222, 192}}};
    return all;
}

inline const std::vector<std::string>& shapes() {
    static const std::vector<std::string> all{"circle", "square", "triangle", "cross", "ring", "bar"};
    return all;
}

inline const std::vector<std::string>& numbers() {
    static const std::vector<std::string> all{"zero", "one", "two", "three", "four"};
    return all;
}

/// Colours that stand out from a background.
inline bool visible(const std::string& on, const std::string& colour_name) {
    if (on != "navy") return true;
    return colour_name != "black" && colour_name != "blue" && colour_name != "purple";
}

/// Pixels and a brush. Coordinates are eighths of a pixel; every pixel is sampled at 4 x 4 points.
class canvas {
  public:
    canvas(std::size_t width, std::size_t height, colour fill)
        : width_{static_cast<int>(width)}, height_{static_cast<int>(height)} {
        rgb_.reserve(width * height * 3);
        for (int y = 0; y < height_; ++y) {
            const int light = 8 - 16 * y / height_; // lit from above
            for (int x = 0; x < width_; ++x)
                for (const int c : fill) rgb_.push_back(byte(c + light));
        }
    }
    /// Paints where inside(dx, dy) holds, relative to (x, y), within `reach`; `opacity` from 0 to 16.
    template <class Inside>
    void paint(int x, int y, int reach, colour ink, int opacity, Inside inside) {
        const int top = std::max(0, (y - reach) / 8 - 1), bottom = std::min(height_, (y + reach) / 8 + 2);
        const int left = std::max(0, (x - reach) / 8 - 1), right = std::min(width_, (x + reach) / 8 + 2);
        for (int row = top; row < bottom; ++row)
            for (int column = left; column < right; ++column) {
                int covered = 0;
                for (int i = 1; i < 8; i += 2)
                    for (int j = 1; j < 8; j += 2) covered += inside(8 * column + j - x, 8 * row + i - y) ? 1 : 0;
                if (covered == 0) continue;
                const int share = covered * opacity; // of 256
                for (std::size_t c = 0; c < 3; ++c) {
                    std::uint8_t& p = rgb_[static_cast<std::size_t>(row * width_ + column) * 3 + c];
                    p = byte((int{p} * (256 - share) + ink[c] * share + 128) / 256);
                }
            }
    }
    /// Grain of at most `amount` levels, the same for the three channels.
    void grain(dice& random, int amount) {
        if (amount == 0) return;
        const auto span = static_cast<std::uint64_t>(2 * amount + 1);
        std::uint64_t bits = 0;
        for (std::size_t i = 0; i < rgb_.size(); i += 3) {
            if (i % 12 == 0) bits = random.next();
            const int delta = static_cast<int>(((bits & 0xffffU) * span) >> 16) - amount;
            bits >>= 16;
            for (std::size_t c = 0; c < 3; ++c) rgb_[i + c] = byte(int{rgb_[i + c]} + delta);
        }
    }
    std::vector<std::uint8_t> take() { return std::move(rgb_); }

  private:
    static std::uint8_t byte(int value) { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); }
    int width_, height_;
    std::vector<std::uint8_t> rgb_;
};

/// One shape of a scene; row and column count cells.
struct object {
    std::string shape, colour_name;
    bool large = false;
    std::size_t row = 0, column = 0;
};

/// A picture and its contents: objects, or the digits of a meter.
struct picture {
    std::size_t width = 0, height = 0;
    std::vector<std::uint8_t> rgb;
    std::string background, digits, digit_colour;
    std::vector<object> objects;
    std::size_t rows = 0, columns = 0;
};

inline bool inside_shape(const std::string& shape, int r, int dx, int dy) {
    const int ax = std::abs(dx), ay = std::abs(dy), d = dx * dx + dy * dy;
    if (shape == "circle") return d <= r * r;
    if (shape == "square") return 16 * std::max(ax, ay) <= 15 * r;
    if (shape == "triangle") return dy >= -r && 5 * dy <= 4 * r && 5 * ax <= 3 * (dy + r);
    if (shape == "cross") return std::max(ax, ay) <= r && 3 * std::min(ax, ay) <= r;
    if (shape == "ring") return d <= r * r && 25 * d >= 9 * r * r;
    return ax <= r && 3 * ay <= r; // bar
}

inline colour shade(dice& random, colour c) {
    const int light = random.between(-12, 12);
    for (int& channel : c) channel += light + random.between(-6, 6);
    return c;
}

inline void draw_shapes(dice& random, picture& to, canvas& paper) {
    static constexpr std::array<std::size_t, 20> counts{1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4};
    const std::size_t count = counts[random.below(counts.size())];
    std::vector<std::size_t> cells(to.rows * to.columns);
    for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = i;
    random.shuffle(cells);
    std::sort(cells.begin(), cells.begin() + static_cast<std::ptrdiff_t>(count));
    std::vector<named_colour> inks;
    for (const named_colour& c : colours())
        if (visible(to.background, c.name)) inks.push_back(c);
    random.shuffle(inks);
    const int cell_width = static_cast<int>(8 * to.width / to.columns),
              cell_height = static_cast<int>(8 * to.height / to.rows);
    for (std::size_t i = 0; i < count; ++i) {
        object o{random.pick(shapes()), inks[i].name, random.chance(50), cells[i] / to.columns, cells[i] % to.columns};
        const int r = o.large ? random.between(116, 136) : random.between(70, 82);
        const int x = static_cast<int>(o.column) * cell_width + cell_width / 2 + random.between(-16, 16);
        const int y = static_cast<int>(o.row) * cell_height + cell_height / 2 + random.between(-16, 16);
        const auto inside = [&](int dx, int dy) { return inside_shape(o.shape, r, dx, dy); };
        paper.paint(x + 12, y + 12, r, {0, 0, 0}, 3, inside); // its shadow
        paper.paint(x, y, r, shade(random, inks[i].rgb), 16, inside);
        to.objects.push_back(std::move(o));
    }
}

/// Seven segments, bit 0 to 6: top, upper right, lower right, bottom, lower left, upper left, middle.
inline void draw_digit(canvas& paper, int digit, int x, int y, int w, int h, int thick, colour on, colour off) {
    static constexpr std::array<unsigned, 10> lit{0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f};
    const int l = x + thick, r = x + w - thick, t = y + thick, b = y + h - thick, mx = (l + r) / 2, my = (t + b) / 2;
    const int across = (r - l) / 2 - 4, down = (b - t) / 4 - 4; // half lengths, with a gap at the corners
    const std::array<std::array<int, 3>, 7> bars{{{mx, t, 0},
                                                  {r, (t + my) / 2, 1},
                                                  {r, (my + b) / 2, 1},
                                                  {mx, b, 0},
                                                  {l, (my + b) / 2, 1},
                                                  {l, (t + my) / 2, 1},
                                                  {mx, my, 0}}};
    for (std::size_t s = 0; s < 7; ++s) {
        const bool upright = bars[s][2] == 1;
        const int reach = upright ? down : across;
        paper.paint(bars[s][0], bars[s][1], reach, ((lit[static_cast<std::size_t>(digit)] >> s) & 1U) != 0 ? on : off,
                    16, [&](int dx, int dy) {
                        const int along = std::abs(upright ? dy : dx), beside = std::abs(upright ? dx : dy);
                        return beside <= thick && along + beside <= reach + thick / 2 && along <= reach;
                    });
    }
}

inline void draw_meter(dice& random, picture& to, canvas& paper) {
    const int count = random.between(2, 4);
    std::vector<named_colour> inks = colours();
    const named_colour ink = random.pick(inks);
    to.digit_colour = ink.name;
    for (int i = 0; i < count; ++i) to.digits.push_back(static_cast<char>('0' + random.between(0, 9)));
    const bool wide = to.width > to.height;
    const int w = 8 * (wide ? random.between(20, 26) : count == 4 ? random.between(14, 15) : random.between(14, 18));
    const int gap = 8 * (wide ? random.between(7, 9) : count == 4 ? 4 : random.between(4, 6));
    const int h = 8 * (wide ? random.between(38, 48) : random.between(28, 34)), thick = (w + 4) / 8 - (wide ? 2 : 0);
    const int total = count * w + (count - 1) * gap, border = 8 * (wide ? 8 : 4);
    const int room_x = std::max(0, static_cast<int>(8 * to.width) - total - 2 * border) / 2,
              room_y = static_cast<int>(8 * to.height) - h - 2 * border;
    const int x =
        static_cast<int>(4 * to.width) - total / 2 + random.between(-std::min(room_x, 64), std::min(room_x, 64));
    const int y =
        (static_cast<int>(8 * to.height) - h) / 2 + random.between(-std::min(room_y / 2, 80), std::min(room_y / 2, 80));
    const bool light_panel = ink.name == "black";
    const colour panel = light_panel ? colour{222, 228, 214} : colour{16, 20, 20}, on = shade(random, ink.rgb);
    const colour rim = light_panel ? colour{150, 156, 148} : colour{64, 70, 72};
    colour off{};
    for (std::size_t c = 0; c < 3; ++c) off[c] = (15 * panel[c] + on[c]) / 16; // unlit segments shimmer
    const int cx = x + total / 2, cy = y + h / 2;
    const auto plate = [&](int grow) {
        return [=](int dx, int dy) {
            const int corner = 24, ax = std::abs(dx) - (total / 2 + border + grow - corner),
                      ay = std::abs(dy) - (h / 2 + border + grow - corner);
            return (ax <= 0 && ay <= corner) || (ay <= 0 && ax <= corner)
                   || (ax > 0 && ay > 0 && ax * ax + ay * ay <= corner * corner);
        };
    };
    const int reach = std::max(total, h) / 2 + border + 16;
    paper.paint(cx + 12, cy + 12, reach, {0, 0, 0}, 3, plate(0));
    paper.paint(cx, cy, reach, rim, 16, plate(0));
    paper.paint(cx, cy, reach, panel, 16, plate(-12));
    for (int i = 0; i < count; ++i)
        draw_digit(paper, to.digits[static_cast<std::size_t>(i)] - '0', x + i * (w + gap), y, w, h, thick, on, off);
}

/// Draws a picture; `meters` is the share of meter displays in percent. The tile of the bundled model is 84 pixels.
inline picture draw_picture(dice& random, int meters) {
    picture to;
    const bool meter = random.chance(meters);
    const int size = random.between(0, 99);
    const bool wide = meter ? size < 35 : size < 20 || size >= 88, tall = !meter && size >= 75;
    to.width = wide ? 168 : 84;
    to.height = tall ? 168 : 84;
    to.columns = wide ? 3 : 2;
    to.rows = tall ? 3 : 2;
    const named_colour& ground = random.pick(backgrounds());
    to.background = ground.name;
    canvas paper{to.width, to.height, shade(random, ground.rgb)};
    if (meter)
        draw_meter(random, to, paper);
    else
        draw_shapes(random, to, paper);
    paper.grain(random, random.between(0, 6));
    to.rgb = paper.take();
    return to;
}

} // namespace llamavision::scenes
