// SPDX-License-Identifier: Apache-2.0
// The models that this program was built for. Behind this header stands the one translation unit that compiles them;
// every other one sees a llamavision::model.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/checkpoint/gguf_dialect.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/runtime/model.hpp>

namespace program {

/// What is known of a configuration without any weights.
struct built_in {
    std::string_view name;
    bool published; ///< one of Meta's models
    llamavision::config::numbers numbers;
    llamavision::totals size;
    std::string (*tree)();
    double (*image_flops)(std::size_t tiles);
    double (*read_flops)(std::size_t before, std::size_t count, std::size_t image_rows);
    /// Throws mismatch_error if the tensors are not the configuration's.
    std::shared_ptr<llamavision::network const> (*bind)(llamavision::checkpoint::named_tensors tensors);
};

/// All of them.
[[nodiscard]] std::vector<built_in> const& built_ins();

/// The one with these numbers, those that are `unstated` aside; null if the program was built for none such.
[[nodiscard]] built_in const* find_built_in(llamavision::config::numbers const& numbers,
                                            std::vector<std::string> const& unstated = {});

/// Whether the network's configuration is one of Meta's models, whose licence asks for a notice.
[[nodiscard]] bool is_published(llamavision::network const& net);

struct model_options {
    std::size_t threads = 0;       ///< 0: as many as the machine has
    bool taps_after_layer = false; ///< for weights fine-tuned with transformers 4.56 or later
    std::string adapter{};         ///< a LoRA adapter's folder
    std::string gguf{};            ///< the dialect, of a GGUF file; empty: as it shows
    llamavision::weight_formats weights{};
};

/// The dialect that the command line names; as the file shows if it names none.
[[nodiscard]] llamavision::checkpoint::gguf_dialect dialect_of(std::string const& name);

/// Loads the checkpoint at `path` as whichever configuration fits; what goes wrong names the path.
[[nodiscard]] llamavision::model open_model(std::filesystem::path const& path, model_options const& options);

} // namespace program
