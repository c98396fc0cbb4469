// SPDX-License-Identifier: Apache-2.0
// The small files of a converted checkpoint: copied if the source has them, else made from its description.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/form/gguf/own.hpp>
#include <llamavision/checkpoint/tensor.hpp>

namespace program {

using llamavision::checkpoint::small_files;

struct small_files_options {
    std::optional<llamavision::checkpoint::dtype> type; ///< the new type of the weights
    std::string config;                                 ///< a config.json to be used instead of the source's
    bool base = false;                                  ///< a base model gets no chat template
};

/// The small files of Hugging Face's form; `notes` gets sentences about assumptions.
small_files hugging_face_files(llamavision::checkpoint::description const& source, small_files_options const& options,
                               std::vector<std::string>& notes);

/// The same for Meta's form.
small_files meta_files(llamavision::checkpoint::description const& source, std::vector<std::string>& notes);

void write(small_files const& files, std::filesystem::path const& folder);

} // namespace program
