// SPDX-License-Identifier: Apache-2.0
// How a checkpoint is loaded.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <llamavision/checkpoint/form/gguf/dialect.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/image/resize.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/tokens/chat_template.hpp>
#include <llamavision/tokens/template/calendar.hpp>
#include <llamavision/weights/formats.hpp>

namespace llamavision {

class image_cache;
class thread_pool;

struct load_options {
    /// Of the model's own pool; 0: as many as this process may use (`available_threads`).
    std::size_t threads = 0;
    /// Instead of a pool of its own: the host program's, or one for all models. Each `load` without one starts threads
    /// for the whole machine; models that share a pool share its threads.
    std::shared_ptr<thread_pool> pool{};
    bool taps_after_layer = false;        ///< for weights fine-tuned with transformers 4.56 or later
    std::optional<tokens::preset> chat{}; ///< instead of what the checkpoint's chat template says
    /// The day that prompts name, where the chat template writes one; nothing: today.
    std::optional<tokens::calendar_time> date{};
    /// Called with each sentence about what runs, but perhaps not as expected: files that are absent, a chat template
    /// that is not interpreted. `model::warnings` keeps them, so that none is lost where this is empty.
    std::function<void(std::string const&)> on_warning{};
    progress on_progress{}; ///< weight files read, of all
    /// What the parts' weights are kept in; as stored is exact, the others are faster and smaller.
    weight_formats weights{};
    progress on_repack{}; ///< matrices laid out, of all
    /// For a GGUF file that does not show in which of the known ways it was written.
    checkpoint::gguf_dialect gguf = checkpoint::gguf_dialect::as_marked;
    /// What becomes of GGUF's block types that no kernel reads (all but Q8_0 and Q4_0). F16 keeps every value to 2^-12
    /// of itself, far below what the blocks lost; F32 is exact, and twice as large.
    checkpoint::dtype blocks_as = checkpoint::dtype::f16;
    /// A LoRA adapter (PEFT's folder), merged into the weights: those that it changes are kept in memory.
    std::filesystem::path adapter{};
    /// A file for the weights in the backend's layout, made if it is missing or was made of something else. They are
    /// mapped from it: that takes no time, and the system may drop them from memory and read them again. Empty: none.
    std::filesystem::path packed{};
    /// Load even what does not fit into the memory that the machine has left. Weights in files are then read again for
    /// every token, in the order of the layers, ahead of their turn; as many of the first layers as fit stay in memory.
    bool beyond_memory = false;
    /// Which release of Pillow pictures are resized like, byte by byte; the model was trained with those up to 12.
    image::pillow_release resize = image::pillow_release::v12;
    std::shared_ptr<image_cache> images{}; ///< where encoded pictures are kept; null: nowhere
    /// What must fit into memory beside the weights, or loading throws memory_error: conversations of `context`
    /// positions, and pictures of all tiles. A session that names no context has this one. 0: all positions that the
    /// model has, but at most 8192.
    std::size_t context = 0;
    std::size_t pictures = 1;      ///< that are kept at a time
    std::size_t conversations = 1; ///< at a time, in sessions that share a workspace
};

} // namespace llamavision
