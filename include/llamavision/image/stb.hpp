// SPDX-License-Identifier: Apache-2.0
// Includes stb_image for PNG and JPEG in memory, in a namespace of its own and with internal linkage, so that
// it does not conflict with another copy in the program. An allocation_limit restricts its memory.
#pragma once

// The headers that stb_image includes must be included first, outside of the namespace.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(STBI_NEON)
#include <arm_neon.h>
#endif

namespace llamavision::image::stb {

/// While an object of this type lives, stb_image cannot allocate larger blocks on this thread. So a hostile file cannot
/// use more memory than its header, which was checked before, allows.
struct allocation_limit {
    explicit allocation_limit(std::size_t largest_block) : limit(largest_block) { current = this; }
    ~allocation_limit() { current = nullptr; }
    allocation_limit(allocation_limit const&) = delete;
    allocation_limit& operator=(allocation_limit const&) = delete;

    bool covers(std::size_t size) {
        refused = refused || size > limit;
        return size <= limit;
    }

    std::size_t limit;
    bool refused = false; ///< true if a larger block was requested
    static inline thread_local allocation_limit* current = nullptr;
};

/// Zeroed, because for damaged files stb_image reads tables that it never filled.
inline void* allocate(std::size_t size) {
    return allocation_limit::current->covers(size) ? std::calloc(size, 1) : nullptr;
}
inline void* reallocate(void* block, std::size_t size) {
    return allocation_limit::current->covers(size) ? std::realloc(block, size) : nullptr;
}

} // namespace llamavision::image::stb

// The program's own settings of stb_image are saved here, and restored below.
#pragma push_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma push_macro("STB_IMAGE_IMPLEMENTATION")
#pragma push_macro("STB_IMAGE_STATIC")
#pragma push_macro("STBIDEF")
#pragma push_macro("STBI_MALLOC")
#pragma push_macro("STBI_REALLOC")
#pragma push_macro("STBI_REALLOC_SIZED")
#pragma push_macro("STBI_FREE")
#pragma push_macro("STBI_ASSERT")
#pragma push_macro("STBI_MAX_DIMENSIONS")
#pragma push_macro("STBI_FAILURE_USERMSG")
#pragma push_macro("STBI_NO_FAILURE_STRINGS")
#pragma push_macro("STBI_NO_STDIO")
#pragma push_macro("STBI_NO_LINEAR")
#pragma push_macro("STBI_NO_ZLIB")
#pragma push_macro("STBI_NO_JPEG")
#pragma push_macro("STBI_NO_PNG")
#pragma push_macro("STBI_NO_BMP")
#pragma push_macro("STBI_NO_GIF")
#pragma push_macro("STBI_NO_TGA")
#pragma push_macro("STBI_NO_PSD")
#pragma push_macro("STBI_NO_PIC")
#pragma push_macro("STBI_NO_PNM")
#pragma push_macro("STBI_NO_HDR")
#pragma push_macro("STBI_ONLY_JPEG")
#pragma push_macro("STBI_ONLY_PNG")
#pragma push_macro("STBI_ONLY_BMP")
#pragma push_macro("STBI_ONLY_GIF")
#pragma push_macro("STBI_ONLY_TGA")
#pragma push_macro("STBI_ONLY_PSD")
#pragma push_macro("STBI_ONLY_PIC")
#pragma push_macro("STBI_ONLY_PNM")
#pragma push_macro("STBI_ONLY_HDR")
#pragma push_macro("stbi__err")
#pragma push_macro("stbi_load_from_callbacks")
#pragma push_macro("stbi_load_16_from_callbacks")
#pragma push_macro("stbi_info_from_callbacks")
#pragma push_macro("stbi_is_16_bit_from_callbacks")
#pragma push_macro("stbi_is_hdr_from_callbacks")
#undef STBI_INCLUDE_STB_IMAGE_H
#undef STB_IMAGE_IMPLEMENTATION
#undef STB_IMAGE_STATIC
#undef STBIDEF
#undef STBI_MALLOC
#undef STBI_REALLOC
#undef STBI_REALLOC_SIZED
#undef STBI_FREE
#undef STBI_ASSERT
#undef STBI_MAX_DIMENSIONS
#undef STBI_FAILURE_USERMSG
#undef STBI_NO_FAILURE_STRINGS
#undef STBI_NO_STDIO
#undef STBI_NO_LINEAR
#undef STBI_NO_ZLIB
#undef STBI_NO_JPEG
#undef STBI_NO_PNG
#undef STBI_NO_BMP
#undef STBI_NO_GIF
#undef STBI_NO_TGA
#undef STBI_NO_PSD
#undef STBI_NO_PIC
#undef STBI_NO_PNM
#undef STBI_NO_HDR
#undef STBI_ONLY_JPEG
#undef STBI_ONLY_PNG
#undef STBI_ONLY_BMP
#undef STBI_ONLY_GIF
#undef STBI_ONLY_TGA
#undef STBI_ONLY_PSD
#undef STBI_ONLY_PIC
#undef STBI_ONLY_PNM
#undef STBI_ONLY_HDR
#undef stbi__err
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_MALLOC(size) ::llamavision::image::stb::allocate(size)
#define STBI_REALLOC(block, size) ::llamavision::image::stb::reallocate(block, size)
#define STBI_FREE(block) ::std::free(block)
#define STBI_ASSERT(condition) ((void)(condition))
#define STBI_MAX_DIMENSIONS (1 << 24)
#define STBI_FAILURE_USERMSG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_NO_BMP
#define STBI_NO_GIF
#define STBI_NO_TGA
#define STBI_NO_PSD
#define STBI_NO_PIC
#define STBI_NO_PNM
// These C functions take a type of this namespace, so another copy in the program has functions of the same names with
// other types.
#define stbi_load_from_callbacks private_load_from_callbacks
#define stbi_load_16_from_callbacks private_load_16_from_callbacks
#define stbi_info_from_callbacks private_info_from_callbacks
#define stbi_is_16_bit_from_callbacks private_is_16_bit_from_callbacks
#define stbi_is_hdr_from_callbacks private_is_hdr_from_callbacks

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
namespace llamavision::image::stb {
#if __has_include(<stb_image.h>)
#include <stb_image.h>
#else
#include <stb/stb_image.h>
#endif
} // namespace llamavision::image::stb
#pragma GCC diagnostic pop

#pragma pop_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma pop_macro("STB_IMAGE_IMPLEMENTATION")
#pragma pop_macro("STB_IMAGE_STATIC")
#pragma pop_macro("STBIDEF")
#pragma pop_macro("STBI_MALLOC")
#pragma pop_macro("STBI_REALLOC")
#pragma pop_macro("STBI_REALLOC_SIZED")
#pragma pop_macro("STBI_FREE")
#pragma pop_macro("STBI_ASSERT")
#pragma pop_macro("STBI_MAX_DIMENSIONS")
#pragma pop_macro("STBI_FAILURE_USERMSG")
#pragma pop_macro("STBI_NO_FAILURE_STRINGS")
#pragma pop_macro("STBI_NO_STDIO")
#pragma pop_macro("STBI_NO_LINEAR")
#pragma pop_macro("STBI_NO_ZLIB")
#pragma pop_macro("STBI_NO_JPEG")
#pragma pop_macro("STBI_NO_PNG")
#pragma pop_macro("STBI_NO_BMP")
#pragma pop_macro("STBI_NO_GIF")
#pragma pop_macro("STBI_NO_TGA")
#pragma pop_macro("STBI_NO_PSD")
#pragma pop_macro("STBI_NO_PIC")
#pragma pop_macro("STBI_NO_PNM")
#pragma pop_macro("STBI_NO_HDR")
#pragma pop_macro("STBI_ONLY_JPEG")
#pragma pop_macro("STBI_ONLY_PNG")
#pragma pop_macro("STBI_ONLY_BMP")
#pragma pop_macro("STBI_ONLY_GIF")
#pragma pop_macro("STBI_ONLY_TGA")
#pragma pop_macro("STBI_ONLY_PSD")
#pragma pop_macro("STBI_ONLY_PIC")
#pragma pop_macro("STBI_ONLY_PNM")
#pragma pop_macro("STBI_ONLY_HDR")
#pragma pop_macro("stbi__err")
#pragma pop_macro("stbi_load_from_callbacks")
#pragma pop_macro("stbi_load_16_from_callbacks")
#pragma pop_macro("stbi_info_from_callbacks")
#pragma pop_macro("stbi_is_16_bit_from_callbacks")
#pragma pop_macro("stbi_is_hdr_from_callbacks")
