// SPDX-License-Identifier: Apache-2.0
// What `describe`, `chat` and `scene` share: a model with the settings of the command line, and timed answers of it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/runtime/conversation/chat.hpp>

#include "commands.hpp"

namespace program {

/// "meta", "hf" or "default".
[[nodiscard]] llamavision::parity parity_of(std::string const& name);

struct timing {
    double image = 0, prompt = 0, answer = 0; ///< seconds
    std::size_t images = 0, prompt_tokens = 0, answer_tokens = 0;
    std::size_t cached = 0; ///< of the images: found in the cache

    timing& operator+=(timing const& other);
};

struct reply {
    std::string text;
    std::vector<llamavision::token> ids;
    llamavision::ending reason = llamavision::ending::none;
    timing took;
};

/// The picture in a file, or up to so many frames of an animation or of a folder.
/// @param frames 0: the first picture of a file. Throws what llamavision::image::open_frames throws.
[[nodiscard]] std::vector<llamavision::image::pixels> pictures_of(std::string const& photo, std::size_t frames);

/// Encoded pictures, and the time that encoding took.
struct encoded_pictures {
    std::vector<llamavision::session::image_ptr> images;
    timing took;
};

/// A question in a conversation of its own.
struct inquiry {
    encoded_pictures seen;
    std::string text;
};

class conversation {
  public:
    /// @param batch how many questions are asked together at most
    /// @param pictures how many pictures each question has at most
    explicit conversation(answer_settings const& settings, std::size_t batch = 1, std::size_t pictures = 1);

    /// Throws what llamavision::chat::encode throws.
    [[nodiscard]] encoded_pictures encode(std::span<llamavision::image::pixels const> pictures,
                                          std::stop_token stop = {});

    /// Asks, and hands out the answer piece by piece.
    /// Throws what llamavision::chat throws; cancelled, if it is stopped before the first token.
    reply ask(std::span<llamavision::image::pixels const> pictures, std::string_view question,
              std::function<void(std::string_view)> const& on_piece, std::stop_token stop = {});
    void reset() { chats_.front().reset(); }

    /// Asks several questions at once. Pieces of the first answer that is not complete are handed out as they come, and
    /// complete replies in the order of the questions.
    /// Returns the time for all: less than the sum of the times that each waited.
    timing ask_together(std::span<inquiry const> questions, std::function<void(std::string_view)> const& on_piece,
                        std::function<void(reply const&)> const& on_reply);

  private:
    void add_chat();

    answer_settings settings_;
    std::shared_ptr<llamavision::image_cache> images_;
    llamavision::model model_;
    std::shared_ptr<llamavision::workspace> work_; ///< of all chats
    std::vector<llamavision::chat> chats_;         ///< one, or as many as there were questions together
};

/// "image 0.4 s | prompt 31 tokens, 512 tok/s | answer 20 tokens, 88 tok/s | peak memory 123 MB"
[[nodiscard]] std::string in_words(timing const& t);

} // namespace program
