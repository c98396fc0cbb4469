// SPDX-License-Identifier: Apache-2.0
// A model ready for use: the network, its tokenizer, and what the checkpoint says about pictures, conversations and
// answers.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <llamavision/image/open.hpp>
#include <llamavision/image/tiles.hpp>
#include <llamavision/runtime/conversation/generate.hpp>
#include <llamavision/runtime/conversation/session.hpp>
#include <llamavision/runtime/images/cache.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/chat.hpp>

namespace llamavision {

/// What a checkpoint says beside its weights.
struct model_defaults {
    image::preprocess_options pictures{};
    tokens::chat_options chat{};
    answer_defaults answers{};
    std::string system{};          ///< a system prompt where none is given; empty: none
    bool taps_after_layer = false; ///< see encode_options
    /// What runs, but perhaps not as expected: the place for warnings that no callback took (load_options::on_warning).
    std::vector<std::string> warnings{};
};

class chat;
struct conversation_options;

/// Immutable and cheap to copy; sessions and chats of it may run on several threads.
class model {
  public:
    /// @param tokenizer may be absent: ids can be read and pictures encoded without a tokenizer
    /// @param images where encoded pictures are kept; null: nowhere. Several models may share one
    model(std::shared_ptr<network const> net, std::optional<tokens::tokenizer> tokenizer, model_defaults defaults,
          std::shared_ptr<image_cache> images = nullptr);

    [[nodiscard]] llamavision::network const& net() const { return *network_; }
    /// @throws token_error if the checkpoint has no tokenizer
    [[nodiscard]] tokens::tokenizer const& tokenizer() const;
    [[nodiscard]] model_defaults const& defaults() const { return *defaults_; }
    /// What runs, but perhaps not as expected: sentences that name a file. A program shows them to its user.
    [[nodiscard]] std::vector<std::string> const& warnings() const { return defaults_->warnings; }

    /// An empty session. @throws what its constructor throws
    [[nodiscard]] session open_session(session_options options = {}) const;

    /// A workspace for sessions to share; see session_options.
    [[nodiscard]] std::shared_ptr<workspace> make_workspace() const;

    /// An answer to what the session has read, for a program that writes prompts itself.
    /// @throws what generation's constructor throws; token_error without a tokenizer
    [[nodiscard]] generation generate(session& s, generate_options options = {}) const;

    /// A conversation; declared in runtime/conversation/chat.hpp. @throws what the chat's constructor throws
    [[nodiscard]] llamavision::chat chat() const;
    [[nodiscard]] llamavision::chat chat(conversation_options options) const;

    /// Encodes a picture, once for any number of sessions of the same parity.
    /// @throws image_error, memory_error, cancelled
    [[nodiscard]] session::image_ptr encode(image::pixels const& picture, encode_options options = {}) const;
    [[nodiscard]] session::image_ptr encode(image::tiles const& tiles, encode_options options = {}) const;

  private:
    std::shared_ptr<network const> network_;
    std::optional<tokens::tokenizer> tokenizer_;
    std::shared_ptr<model_defaults const> defaults_;
    std::shared_ptr<image_cache> images_;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/model.ipp>
#endif
