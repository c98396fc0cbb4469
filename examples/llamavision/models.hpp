// SPDX-License-Identifier: Apache-2.0
// The models that this program was built for. Two translation units compile them, models.cpp for the CPU and
// on_cuda.cpp for GPUs; all others see a llamavision::model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/form/gguf/dialect.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/image/resize.hpp>
#include <llamavision/runtime/model.hpp>
#include <llamavision/runtime/network/options.hpp>
#include <llamavision/runtime/network/planned_use.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/thread_pool.hpp>
#include <llamavision/weights/formats.hpp>

#include "commands.hpp"

namespace program {

/// What is known of a configuration without any weights.
struct built_in {
    std::string_view name;
    bool published; ///< one of Meta's models
    llamavision::config::numbers numbers;
    llamavision::totals size;
    std::string (*tree)();
    double (*image_flops)(std::size_t tiles, bool collapsed);
    double (*read_flops)(std::size_t before, std::size_t count, std::size_t image_rows);
    /// Throws mismatch_error if the tensors are not the configuration's, memory_error if memory is short.
    /// @param pool null: one thread
    std::shared_ptr<llamavision::network const> (*bind)(llamavision::checkpoint::named_tensors tensors,
                                                        std::shared_ptr<llamavision::thread_pool> pool,
                                                        llamavision::network_options const& how);
    /// What it would take in memory; reads no weight. Throws mismatch_error likewise.
    llamavision::memory_plan (*plan)(llamavision::checkpoint::named_tensors tensors);
    /// Random weights, which need no checkpoint.
    llamavision::checkpoint::named_tensors (*random)(std::uint64_t seed);
};

/// The one of that name, or of the short names "11b", "11b-448", "90b".
/// Throws argument_error, which lists the names, if this program was built for none of that name.
[[nodiscard]] built_in const& built_in_named(std::string const& name);

/// All of them.
[[nodiscard]] std::vector<built_in> const& built_ins();

/// The one with these numbers, apart from those that are `unstated`; null if this program was built for none of them.
[[nodiscard]] built_in const* find_built_in(llamavision::config::numbers const& numbers,
                                            std::vector<std::string> const& unstated = {});

/// Whether the network's configuration is one of Meta's models, whose licence asks for a notice.
[[nodiscard]] bool is_published(llamavision::network const& net);

/// Throws file_error, naming the folder, if the checkpoint has no tokenizer.
void check_tokenizer(llamavision::checkpoint::description const& checkpoint);

/// One format for the text, one for the vision tower and the projector.
[[nodiscard]] llamavision::weight_formats formats_of(format_settings const& settings);

/// The dialect that the command line names; as the file shows if it names none.
[[nodiscard]] llamavision::checkpoint::gguf_dialect dialect_of(std::string const& name);

/// "pillow-12" or "pillow-13".
[[nodiscard]] llamavision::image::pillow_release release_of(std::string const& name);

/// Loads the checkpoint that the settings name as the configuration that fits, with a progress bar; warnings go to
/// standard error. Errors name the path.
/// @param images where encoded pictures are kept; null: nowhere
/// @param use what must fit into memory beside the weights
[[nodiscard]] llamavision::model open_model(model_settings const& settings,
                                            std::shared_ptr<llamavision::image_cache> images = nullptr,
                                            llamavision::planned_use const& use = {});

} // namespace program
