// SPDX-License-Identifier: Apache-2.0
// The list of decoders. A codec is in it from the beginning if LLAMAVISION_WITH_WEBP, LLAMAVISION_WITH_AVIF or
// LLAMAVISION_WITH_HEIC is defined; the program then links that library.
#pragma once

#include <llamavision/image/decoder.hpp>
#include <llamavision/support/error.hpp>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#if defined(LLAMAVISION_WITH_WEBP)
#include <llamavision/image/codecs/webp.ipp>
#endif
#if defined(LLAMAVISION_WITH_AVIF)
#include <llamavision/image/codecs/avif.ipp>
#endif
#if defined(LLAMAVISION_WITH_HEIC)
#include <llamavision/image/codecs/heif.ipp>
#endif

namespace llamavision::image {

namespace detail {

struct decoder_list {
    std::mutex guard;
    std::vector<std::shared_ptr<decoder const>> added; ///< in the order in which they were added

    decoder_list() {
#if defined(LLAMAVISION_WITH_HEIC)
        added.push_back(std::make_shared<heif_decoder>());
#endif
#if defined(LLAMAVISION_WITH_AVIF) // after HEIC's, since an AVIF file may name both brands
        added.push_back(std::make_shared<avif_decoder>());
#endif
#if defined(LLAMAVISION_WITH_WEBP)
        added.push_back(std::make_shared<webp_decoder>());
#endif
    }
};

inline decoder_list& list_of_decoders() {
    static decoder_list list;
    return list;
}

} // namespace detail

LLAMAVISION_INLINE void add_decoder(std::shared_ptr<decoder const> added) {
    if (!added) throw argument_error("add_decoder: the decoder is a null pointer");
    detail::decoder_list& list = detail::list_of_decoders();
    std::scoped_lock const lock(list.guard);
    list.added.push_back(std::move(added));
}

LLAMAVISION_INLINE std::vector<std::shared_ptr<decoder const>> decoders() {
    detail::decoder_list& list = detail::list_of_decoders();
    std::scoped_lock const lock(list.guard);
    return {list.added.rbegin(), list.added.rend()};
}

} // namespace llamavision::image
