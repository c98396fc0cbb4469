// SPDX-License-Identifier: Apache-2.0
// A model hands work to its network, its tokenizer and its cache of pictures.
#pragma once

#include <utility>

#include <llamavision/image/tiles.hpp>
#include <llamavision/runtime/model.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/out_of_memory.hpp>

namespace llamavision {

LLAMAVISION_INLINE model::model(std::shared_ptr<network const> net, std::optional<tokens::tokenizer> tokenizer,
                                model_defaults defaults, std::shared_ptr<image_cache> images)
    : network_(std::move(net)), tokenizer_(std::move(tokenizer)),
      defaults_(std::make_shared<model_defaults const>(std::move(defaults))), images_(std::move(images)) {}

LLAMAVISION_INLINE std::shared_ptr<workspace> model::make_workspace() const {
    return std::make_shared<workspace>(network_);
}

LLAMAVISION_INLINE tokens::tokenizer const& model::tokenizer() const {
    if (!tokenizer_) throw token_error("the checkpoint has neither tokenizer.json nor tokenizer.model");
    return *tokenizer_;
}

LLAMAVISION_INLINE session model::open_session(session_options options) const {
    return session(network_, std::move(options));
}

LLAMAVISION_INLINE generation model::generate(session& s, generate_options options) const {
    return {s, tokenizer(), defaults_->answers, std::move(options)};
}

LLAMAVISION_INLINE session::image_ptr model::encode(image::pixels const& picture, encode_options options) const {
    auto const tiles =
        naming_refused_memory("resizing a picture", [&] { return image::preprocess(picture, defaults_->pictures); });
    return encode(tiles, std::move(options));
}

LLAMAVISION_INLINE session::image_ptr model::encode(image::tiles const& tiles, encode_options options) const {
    options.taps_after_layer = options.taps_after_layer || defaults_->taps_after_layer;
    return naming_refused_memory("encoding a picture", [&]() -> session::image_ptr {
        return images_ ? images_->encode(*network_, tiles, options) : network_->encode(tiles, options);
    });
}

} // namespace llamavision
