// SPDX-License-Identifier: Apache-2.0
// The forms of checkpoint, and their names.
#pragma once

#include <string_view>

namespace llamavision::checkpoint {

/// The forms in which models are distributed, as folders or files.
enum class kind {
    hugging_face, ///< config.json and *.safetensors
    adapter,      ///< PEFT: adapter_config.json
    meta,         ///< params.json and consolidated*.pth
    gguf,         ///< llama.cpp, ollama: a file, a folder with two, or a manifest
    pytorch,      ///< pytorch_model*.bin, Hugging Face's form before safetensors
    unknown
};

/// The form as a phrase, for messages.
[[nodiscard]] constexpr std::string_view describe(kind form) {
    switch (form) {
    case kind::hugging_face: return "a Hugging Face checkpoint";
    case kind::adapter: return "an adapter (PEFT), which supplements a model";
    case kind::meta: return "Meta's form (params.json, consolidated*.pth)";
    case kind::gguf: return "a GGUF file (llama.cpp, ollama)";
    case kind::pytorch: return "PyTorch's form (pytorch_model*.bin)";
    case kind::unknown: break;
    }
    return "no checkpoint of a known form";
}

/// Whether `open` reads this form.
[[nodiscard]] constexpr bool is_read(kind form) {
    return form == kind::hugging_face || form == kind::meta || form == kind::gguf;
}

} // namespace llamavision::checkpoint
