// SPDX-License-Identifier: Apache-2.0
// The small files of a converted checkpoint: copied where the source has them, made of what it says where it does not.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/tensor.hpp>

namespace program {

struct small_files_options {
    std::optional<llamavision::checkpoint::dtype> type; ///< what the weights were changed to
    std::string config;                                 ///< a config.json to be used instead of the source's
    bool base = false;                                  ///< a base model gets no chat template
};

/// Writes the small files of Hugging Face's form into `folder`; returns sentences about what had to be assumed.
std::vector<std::string> write_hugging_face_files(std::filesystem::path const& folder,
                                                  llamavision::checkpoint::description const& source,
                                                  small_files_options const& options);

/// The same for Meta's form.
std::vector<std::string> write_meta_files(std::filesystem::path const& folder,
                                          llamavision::checkpoint::description const& source);

} // namespace program
