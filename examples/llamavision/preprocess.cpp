// SPDX-License-Identifier: Apache-2.0
// `preprocess`: the canvas of a picture, and the values that the tower reads.
#include "commands.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <llamavision/checkpoint/form/hugging_face/preprocessor_config.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/recognise.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>
#include <llamavision/image/open.hpp>
#include <llamavision/image/tiles.hpp>
#include <llamavision/support/sha256.hpp>

#include "bundled.hpp"
#include "console.hpp"
#include "json_text.hpp"
#include "models.hpp"
#include "png.hpp"

namespace lv = llamavision;

namespace program {

namespace {

/// A checkpoint's settings for pictures. A folder in Hugging Face's form has a file for them; nothing else is read.
lv::checkpoint::preprocessor pictures_of(preprocess_options const& o) {
    namespace cp = lv::checkpoint;
    auto const path = model_path(o.model);
    auto const form = cp::recognise(path);
    if (form != cp::kind::gguf && form != cp::kind::meta) {
        if (auto const p = cp::find_preprocessor(path)) return *p;
        throw lv::file_error(path.string() + ": has no preprocessor_config.json; --tile-size says it instead");
    }
    return cp::read_description(path, cp::faults::thrown, dialect_of(o.gguf)).pictures;
}

/// The checkpoint's settings, replaced by those of the command line.
lv::image::preprocess_options settings_of(preprocess_options const& o) {
    lv::image::preprocess_options settings;
    if (!o.tile_size || !o.model.empty()) {
        auto const p = pictures_of(o);
        settings = {p.tile, p.tiles, {p.mean, p.deviation, p.rescale}};
    }
    settings.tile = o.tile_size.value_or(settings.tile);
    settings.max_tiles = o.max_tiles.value_or(settings.max_tiles);
    settings.resize = release_of(o.resize);
    constexpr std::size_t most = std::size_t{1} << 28; // pixels
    if (settings.tile * settings.tile > most / settings.max_tiles)
        throw lv::argument_error(std::to_string(settings.max_tiles) + " tiles of " + std::to_string(settings.tile)
                                 + " pixels are more than a canvas of 2^28 pixels");
    return settings;
}

lv::image::open_options reading_of(preprocess_options const& o) {
    lv::image::open_options reading;
    reading.exif = o.exif == "ignore" ? lv::image::exif_policy::ignore : lv::image::exif_policy::apply;
    reading.alpha = o.alpha == "drop" ? lv::image::alpha_policy::drop : lv::image::alpha_policy::white;
    return reading;
}

void write_tiles(std::string const& path, lv::image::tiles const& tiles) {
    std::array<std::int32_t, 2> const ratio{static_cast<std::int32_t>(tiles.rows),
                                            static_cast<std::int32_t>(tiles.columns)};
    std::array<lv::checkpoint::tensor_to_write, 2> const tensors{
        {{"pixel_values",
          lv::checkpoint::dtype::f32,
          {tiles.rows * tiles.columns, 3, tiles.side, tiles.side},
          std::as_bytes(std::span(tiles.values))},
         {"aspect_ratio", lv::checkpoint::dtype::i32, {2}, std::as_bytes(std::span(ratio))}}};
    lv::checkpoint::write_safetensors(path, tensors);
}

std::string about(std::string const& file, lv::image::canvas const& c) {
    return json_object({{"file", json_string(file)},
                        {"canvas", json_integers(std::array{c.shape.rows, c.shape.columns})},
                        {"resized", json_integers(std::array{c.shape.resized_width, c.shape.resized_height})},
                        {"sha256", json_string(lv::sha256_hex(std::as_bytes(std::span(c.picture.rgb))))}});
}

std::string in_words(std::string const& file, lv::image::layout const& shape) {
    return file + ": " + std::to_string(shape.rows) + (shape.rows == 1 ? " row" : " rows") + " of "
           + std::to_string(shape.columns) + (shape.columns == 1 ? " tile" : " tiles") + ", drawn "
           + std::to_string(shape.resized_width) + " x " + std::to_string(shape.resized_height) + "\n";
}

} // namespace

int preprocess(preprocess_options const& options) {
    auto const settings = settings_of(options);
    auto const reading = reading_of(options);
    std::vector<std::string> list;
    int status = 0;
    for (std::string const& file : options.files) {
        lv::image::pixels picture;
        try {
            picture = lv::image::open(file, reading);
        } catch (lv::error const& fault) { // the others may be fine
            complain(fault.what());
            status = 1;
            continue;
        }
        auto const canvas = lv::image::make_canvas(picture, settings.tile, settings.max_tiles, settings.resize);
        if (!options.png.empty()) write_png(options.png, canvas.picture);
        if (!options.out.empty()) write_tiles(options.out, lv::image::to_tiles(canvas, settings.numbers));
        if (options.json)
            list.push_back(about(file, canvas));
        else
            print(in_words(file, canvas.shape));
    }
    if (options.json) print(json_list(list, [](std::string const& one) { return one; }) + "\n");
    return status;
}

} // namespace program
