// SPDX-License-Identifier: Apache-2.0
// A program with its own copy of stb_image, declared before this library's headers and implemented after them. Both
// copies work.
#if __has_include(<stb_image.h>)
#define OWN_STB <stb_image.h>
#else
#define OWN_STB <stb/stb_image.h>
#endif

#define STBI_MAX_DIMENSIONS 100
#define STBI_ONLY_PNG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wunused-function"
#include OWN_STB
#pragma GCC diagnostic pop

#include "pictures.hpp"

#include <llamavision/image/open.hpp>

#include <doctest/doctest.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wunused-function"
#define STB_IMAGE_IMPLEMENTATION
#include OWN_STB
#pragma GCC diagnostic pop

static_assert(STBI_MAX_DIMENSIONS == 100);

TEST_CASE("the program's own stb_image keeps its settings, and the library's its own") {
    auto const read = [](char const* file) {
        auto const bytes = pictures::read(file);
        int width = 0, height = 0, channels = 0;
        unsigned char* const own = stbi_load_from_memory(reinterpret_cast<unsigned char const*>(bytes.data()),
                                                         static_cast<int>(bytes.size()), &width, &height, &channels, 3);
        stbi_image_free(own);
        return own != nullptr;
    };
    CHECK_FALSE(read("rgb8.png")); // 121 pixels wide
    CHECK_FALSE(read("gray.jpg")); // not a PNG
    CHECK(llamavision::image::decode(pictures::read("rgb8.png"), "rgb8.png").width == 121);
    CHECK(llamavision::image::decode(pictures::read("gray.jpg"), "gray.jpg").width == 97);
}
