// SPDX-License-Identifier: Apache-2.0
// Where an orientation may stand, and which one counts: each row of the table in docs/3_picture.md, as Pillow 13.0.0's
// exif_transpose has it.
#include "files.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <llamavision/image/exif.hpp>
#include <llamavision/image/open.hpp>

namespace image = llamavision::image;
using files::octets;

namespace {

octets joined(std::initializer_list<octets> parts) {
    octets out;
    for (octets const& part : parts) files::append(out, part);
    return out;
}
octets text(std::string_view characters) { return files::octets_of(characters); }

octets const mark = text({"Exif\0\0", 6});

/// An entry of a little-endian directory; `value` has 4 bytes.
octets entry(std::size_t tag, std::size_t type, std::size_t count, octets const& value) {
    octets out;
    files::le(out, tag, 2);
    files::le(out, type, 2);
    files::le(out, count, 4);
    files::append(out, value);
    return out;
}
octets word(std::size_t value) {
    octets out;
    files::le(out, value, 4);
    return out;
}
constexpr std::size_t orientation = 0x0112;

/// A TIFF block of these entries, and what stands behind them: behind one entry from byte 26 on.
octets tiff(std::vector<octets> const& entries, octets const& behind = {}) {
    octets out = joined({text({"II*\0", 4}), word(8)});
    files::le(out, entries.size(), 2);
    for (octets const& one : entries) files::append(out, one);
    files::append(out, word(0));
    files::append(out, behind);
    return out;
}
octets turned(std::size_t value) { return tiff({entry(orientation, 3, 1, word(value))}); }
octets unturned() { return tiff({entry(0x010F, 3, 1, word(0))}); }

octets attribute(std::string const& value) { return text("<x tiff:Orientation=\"" + value + "\"/>"); }
octets element(std::string const& value) { return text("<tiff:Orientation>" + value + "</tiff:Orientation>"); }

octets app1(octets const& data) {
    octets out;
    files::append(out,
                  {0xFF, 0xE1, static_cast<unsigned>((data.size() + 2) >> 8), static_cast<unsigned>(data.size() + 2)});
    files::append(out, data);
    return out;
}
octets exif_segment(octets const& block) { return app1(joined({mark, block})); }
octets xmp_segment(octets const& xmp) { return app1(joined({text({"http://ns.adobe.com/xap/1.0/\0", 29}), xmp})); }

unsigned of_jpeg(octets const& segments) {
    octets const jpeg = pictures::read("gray.jpg");
    octets file(jpeg.begin(), jpeg.begin() + 2);
    files::append(file, segments);
    file.insert(file.end(), jpeg.begin() + 2, jpeg.end());
    return image::jpeg_orientation(file);
}

/// The orientation that a PNG of 2 x 1 pixels, 10 and 20, is turned by; of 1, 2, 6 and 8, which it tells apart.
unsigned of_png(octets const& chunks) {
    octets png = files::png(2, 1, 8, 0, files::stored(joined({text({"\0", 1}), text("\x0A\x14")})));
    png.insert(png.end() - 12, chunks.begin(), chunks.end()); // before the end, behind the picture
    image::pixels const out = image::decode(png, "p.png");
    bool const is_reversed = out.rgb.at(0) == 20;
    return out.width == 2 ? (is_reversed ? 2 : 1) : is_reversed ? 8 : 6;
}
octets png_text(std::string_view kind, std::string_view keyword, octets const& rest) {
    return files::chunk(kind, joined({text(keyword), text({"\0", 1}), rest}));
}
octets packed(octets const& data) { return joined({text({"\0", 1}), files::stored(data)}); }

octets digits(octets const& block) {
    std::string out = "\nexif\n      40\n";
    for (std::byte const b : block) {
        out += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
        out += "0123456789ABCDEF"[std::to_integer<unsigned>(b) & 15];
        if (out.size() % 7 == 0) out += '\n';
    }
    return text(out);
}

} // namespace

TEST_CASE("an EXIF entry counts whatever type of number it has") {
    auto const of = [](std::size_t type, std::size_t count, octets const& value, octets const& behind = {}) {
        return image::exif_orientation(tiff({entry(orientation, type, count, value)}, behind));
    };
    octets const there = word(26);
    CHECK(of(3, 1, word(6)) == 6);                                      // SHORT
    CHECK(of(4, 1, word(6)) == 6);                                      // LONG
    CHECK(of(4, 1, word(0x10006)) == 1);                                // not its lower half
    CHECK(of(13, 1, word(6)) == 6);                                     // IFD
    CHECK(of(6, 1, word(6)) == 6);                                      // SBYTE
    CHECK(of(8, 1, word(6)) == 6);                                      // SSHORT
    CHECK(of(9, 1, word(6)) == 6);                                      // SLONG
    CHECK(of(9, 1, word(0xFFFFFFFA)) == 1);                             // -6
    CHECK(of(11, 1, word(0x40C00000)) == 6);                            // FLOAT
    CHECK(of(11, 1, word(0x7FC00000)) == 1);                            // no number
    CHECK(of(5, 1, there, joined({word(12), word(2)})) == 6);           // RATIONAL
    CHECK(of(5, 1, there, joined({word(13), word(2)})) == 1);           // 6.5
    CHECK(of(5, 1, there, joined({word(6), word(0)})) == 1);            // infinite
    CHECK(of(10, 1, there, joined({word(0 - 6U), word(0 - 1U)})) == 6); // SRATIONAL
    CHECK(of(12, 1, there, joined({word(0), word(0x40180000)})) == 6);  // DOUBLE
    CHECK(of(16, 1, there, joined({word(6), word(0)})) == 6);           // LONG8
    CHECK(of(16, 1, there, joined({word(6), word(1)})) == 1);           // 2^32 + 6
    CHECK(of(3, 3, there, word(6)) == 1);                               // two bytes are missing
    CHECK(of(3, 3, there, joined({word(0x30006), word(0)})) == 6);      // the first of three
    CHECK(of(1, 1, word(6)) == 1);                                      // BYTE: not a number for Pillow
    CHECK(of(2, 1, word('6')) == 1);                                    // ASCII
    CHECK(of(7, 1, word(6)) == 1);                                      // UNDEFINED
}

TEST_CASE("the first usable entry counts, and reading ends where Pillow's does") {
    octets const six = entry(orientation, 3, 1, word(6)), eight = entry(orientation, 3, 1, word(8));
    CHECK(image::exif_orientation(tiff({six, eight})) == 6);
    CHECK(image::exif_orientation(tiff({entry(orientation, 14, 1, word(3)), six})) == 6); // there is no type 14
    CHECK(image::exif_orientation(tiff({entry(orientation, 3, 0, word(3)), six})) == 6);  // no value
    CHECK(image::exif_orientation(tiff({entry(orientation, 1, 1, word(3)), six})) == 1);  // a value, but no number
    CHECK(image::exif_orientation(tiff({entry(0x010F, 2, 9, word(30)), six})) == 1);      // its text is cut off
    CHECK(image::exif_orientation(tiff({entry(0x010F, 2, 900, word(30)), six})) == 6);    // longer than the block
    for (char const* const start : {"II\0*", "MM*\0", "MM\0*", "II*\0"}) {
        octets block = turned(6);
        for (std::size_t i = 0; i < 4; ++i) block[i] = static_cast<std::byte>(start[i]);
        CHECK(image::exif_orientation(block) == (start[0] == 'I' ? 6 : 1)); // as MM, the block is read backwards
    }
    octets big = turned(6);
    big[2] = std::byte{43}; // BigTIFF
    CHECK(image::exif_orientation(big) == 1);
}

TEST_CASE("the mark before EXIF data may be doubled") {
    CHECK(of_jpeg(exif_segment(turned(6))) == 6);
    CHECK(of_jpeg(exif_segment(joined({mark, turned(6)}))) == 6);
    CHECK(of_jpeg(exif_segment(joined({mark, mark, turned(6)}))) == 1);
    CHECK(of_jpeg(app1(turned(6))) == 1);
    CHECK(of_png(files::chunk("eXIf", turned(6))) == 6);
    CHECK(of_png(files::chunk("eXIf", joined({mark, turned(6)}))) == 6);
    CHECK(of_png(files::chunk("eXIf", joined({mark, mark, turned(6)}))) == 1);
}

TEST_CASE("a JPEG's segments: EXIF data continue, of XMP the last counts, and only where EXIF says nothing") {
    CHECK(of_jpeg(joined({exif_segment(turned(6)), exif_segment(turned(8))})) == 6);
    octets const block = turned(6), first(block.begin(), block.begin() + 15), rest(block.begin() + 15, block.end());
    CHECK(of_jpeg(joined({exif_segment(first), exif_segment(rest)})) == 6);
    CHECK(of_jpeg(joined({exif_segment({}), exif_segment(turned(6))})) == 6);
    CHECK(of_jpeg(xmp_segment(attribute("6"))) == 6);
    CHECK(of_jpeg(xmp_segment(element("6"))) == 6);
    CHECK(of_jpeg(joined({xmp_segment(attribute("6")), xmp_segment(attribute("8"))})) == 8);
    CHECK(of_jpeg(joined({xmp_segment(attribute("6")), exif_segment(turned(8))})) == 8);
    CHECK(of_jpeg(joined({xmp_segment(attribute("6")), exif_segment(turned(1))})) == 1);
    CHECK(of_jpeg(joined({xmp_segment(attribute("6")), exif_segment(turned(9))})) == 1);
    CHECK(of_jpeg(joined({xmp_segment(attribute("6")), exif_segment(unturned())})) == 6);
    CHECK(of_jpeg(joined({xmp_segment(attribute("6")), exif_segment({})})) == 6);
    CHECK(of_jpeg(joined({xmp_segment(attribute("6")), exif_segment(text("damaged"))})) == 1);
}

TEST_CASE("XMP: the first attribute or element with a digit") {
    auto const of = [](octets const& xmp) { return image::xmp_orientation(xmp); };
    for (unsigned value = 1; value <= 8; ++value) {
        CHECK(of(attribute(std::to_string(value))) == value);
        CHECK(of(element(std::to_string(value))) == value);
    }
    CHECK(of(joined({attribute("6"), element("8")})) == 6);
    CHECK(of(joined({attribute("x"), element("8")})) == 8);
    CHECK(of(joined({attribute("9"), element("8")})) == 1);
    CHECK(of(joined({attribute("0"), element("8")})) == 1);
    CHECK(of(text("tiff:Orientation='6'")) == 1);
    CHECK(of(text("tiff:Orientation = \"6\"")) == 1);
    CHECK(of(text("exif:Orientation=\"6\"")) == 1);
    for (char const* const cut : {"tiff:Orientation", "tiff:Orientation=", "tiff:Orientation=\"", "tiff:Orientation>"})
        CHECK(of(text(cut)) == 1);
    CHECK(of({}) == 1);
}

TEST_CASE("a PNG's chunks and texts, in their order") {
    constexpr std::string_view raw = "Raw profile type exif", xmp = "XML:com.adobe.xmp";
    octets const plain = text({"\0\0\0\0", 4}), folded = text({"\1\0en\0\0", 6});
    octets const exif6 = files::chunk("eXIf", turned(6)), exif8 = files::chunk("eXIf", turned(8));
    CHECK(of_png({}) == 1);
    CHECK(of_png(joined({exif6, exif8})) == 8); // the last
    CHECK(of_png(png_text("tEXt", "exif", joined({mark, turned(6)}))) == 6);
    CHECK(of_png(joined({exif6, png_text("tEXt", "exif", turned(8))})) == 8);
    CHECK(of_png(joined({png_text("tEXt", "exif", turned(8)), exif6})) == 6);
    CHECK(of_png(png_text("tEXt", raw, digits(turned(6)))) == 6);
    CHECK(of_png(png_text("tEXt", raw, digits(joined({mark, turned(6)})))) == 6);
    CHECK(of_png(png_text("zTXt", raw, packed(digits(turned(6))))) == 6);
    CHECK(of_png(png_text("iTXt", raw, joined({plain, digits(turned(6))}))) == 6);
    CHECK(of_png(joined({exif8, png_text("tEXt", raw, digits(turned(6)))})) == 8); // eXIf counts
    CHECK(of_png(png_text("iTXt", xmp, joined({plain, attribute("6")}))) == 6);
    CHECK(of_png(png_text("iTXt", xmp, joined({folded, files::stored(element("6"))}))) == 6);
    CHECK(of_png(png_text("tEXt", xmp, attribute("6"))) == 6);
    CHECK(of_png(png_text("zTXt", xmp, packed(attribute("6")))) == 6);
    CHECK(of_png(joined({exif8, png_text("tEXt", xmp, attribute("6"))})) == 8);
    CHECK(of_png(joined({png_text("tEXt", raw, digits(turned(8))), png_text("tEXt", xmp, attribute("6"))})) == 8);
    CHECK(of_png(joined({files::chunk("eXIf", unturned()), png_text("tEXt", xmp, attribute("6"))})) == 6);
    CHECK(of_png(joined({png_text("tEXt", xmp, attribute("6")), png_text("tEXt", xmp, attribute("8"))})) == 8);
}

TEST_CASE("a PNG's texts that are damaged or endless are ignored") {
    constexpr std::string_view raw = "Raw profile type exif";
    octets odd = digits(turned(6)), wrong = odd;
    odd.pop_back();
    wrong[20] = std::byte{'g'};
    CHECK(of_png(png_text("tEXt", raw, odd)) == 1);
    CHECK(of_png(png_text("tEXt", raw, wrong)) == 1);
    CHECK(of_png(png_text("zTXt", raw, {})) == 1);
    CHECK(of_png(png_text("zTXt", raw, text("\x01\x78"))) == 1);
    CHECK(of_png(png_text("zTXt", raw, text({"\0\x78\x01", 3}))) == 1);
    CHECK(of_png(png_text("iTXt", raw, text("\1"))) == 1);
    CHECK(of_png(png_text("iTXt", raw, joined({text("\1\1"), digits(turned(6))}))) == 1);
    CHECK(of_png(png_text("zTXt", raw, joined({text({"\0", 1}), files::bomb(100000)}))) == 1); // 26 MB
}
