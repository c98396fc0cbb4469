// SPDX-License-Identifier: Apache-2.0
// PNG files, written by stb_image_write, which only this translation unit contains.
#include "png.hpp"

#include <fstream>
#include <string>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

#include <llamavision/support/error.hpp>
#include <llamavision/support/system_reason.hpp>

namespace program {

void write_png(std::filesystem::path const& path, llamavision::image::pixels const& picture) {
    std::string bytes;
    auto const append = [](void* to, void* data, int size) {
        static_cast<std::string*>(to)->append(static_cast<char const*>(data), static_cast<std::size_t>(size));
    };
    int const width = static_cast<int>(picture.width), height = static_cast<int>(picture.height);
    int const done = stbi_write_png_to_func(append, &bytes, width, height, 3, picture.rgb.data(), 3 * width);
    if (done == 0) throw llamavision::file_error(path.string() + ": the picture does not fit into a PNG file");
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    if (!file)
        throw llamavision::file_error(path.string()
                                      + ": cannot be opened for writing: " + llamavision::system_reason());
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) throw llamavision::file_error(path.string() + ": cannot be written; is the disk full?");
}

} // namespace program
