// SPDX-License-Identifier: Apache-2.0
// A model ready for use: the network, the words it speaks, and how its makers want it asked.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include <llamavision/image/open.hpp>
#include <llamavision/image/tiles.hpp>
#include <llamavision/runtime/conversation/generate.hpp>
#include <llamavision/runtime/conversation/session.hpp>
#include <llamavision/runtime/images/cache.hpp>
#include <llamavision/tokens/chat.hpp>

namespace llamavision {

/// What a checkpoint says beside its weights.
struct model_defaults {
    image::preprocess_options pictures{};
    tokens::chat_options chat{};
    generate_options answers{};    ///< sampling and stop ids
    bool taps_after_layer = false; ///< see encode_options
};

class chat;

/// Immutable and cheap to copy; sessions and chats of it may run on several threads.
class model {
  public:
    /// @param tokenizer may be absent: ids can be read and pictures encoded without a tokenizer
    /// @param images where encoded pictures are kept; null: nowhere. Several models may share one
    model(std::shared_ptr<network const> net, std::optional<tokens::tokenizer> tokenizer, model_defaults defaults,
          std::shared_ptr<image_cache> images = nullptr)
        : network_(std::move(net)), tokenizer_(std::move(tokenizer)), defaults_(std::move(defaults)),
          images_(std::move(images)) {}

    [[nodiscard]] llamavision::network const& net() const { return *network_; }
    /// @throws token_error if the checkpoint has no tokenizer
    [[nodiscard]] tokens::tokenizer const& tokenizer() const {
        if (!tokenizer_) throw token_error("the checkpoint has neither tokenizer.json nor tokenizer.model");
        return *tokenizer_;
    }
    [[nodiscard]] model_defaults const& defaults() const { return defaults_; }

    /// An empty session. @throws argument_error for options out of range
    [[nodiscard]] session open_session(session_options options = {}) const {
        return session(network_, std::move(options));
    }

    /// A workspace for sessions to share; see session_options.
    [[nodiscard]] std::shared_ptr<workspace> make_workspace() const { return std::make_shared<workspace>(network_); }

    /// A conversation; declared in runtime/conversation/chat.hpp.
    [[nodiscard]] llamavision::chat chat() const;

    /// Looks at a picture once; any number of sessions of the same parity may then be told about it.
    /// @throws image_error, cancelled
    [[nodiscard]] session::image_ptr encode(image::pixels const& picture, encode_options options = {}) const {
        return encode(image::preprocess(picture, defaults_.pictures), std::move(options));
    }
    [[nodiscard]] session::image_ptr encode(image::tiles const& tiles, encode_options options = {}) const {
        options.taps_after_layer = options.taps_after_layer || defaults_.taps_after_layer;
        return images_ ? images_->encode(*network_, tiles, options) : network_->encode(tiles, options);
    }

  private:
    std::shared_ptr<network const> network_;
    std::optional<tokens::tokenizer> tokenizer_;
    model_defaults defaults_;
    std::shared_ptr<image_cache> images_;
};

} // namespace llamavision
