// SPDX-License-Identifier: Apache-2.0
// What can be told about a checkpoint without running it.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/checkpoint/adapter/adapter.hpp>
#include <llamavision/checkpoint/encoding/quantised/summary.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/runtime/network/network.hpp>

#include "models.hpp"
#include "tile_tables.hpp"

namespace program {

/// A part of the model as the file holds it.
struct part {
    std::string name;
    std::size_t tensors = 0;
    double parameters = 0;
    double bytes = 0;
    std::set<std::string> types; ///< of plain tensors and blocks; of quantised ones the format
    std::size_t quantised = 0;   ///< tensors of a quantising library's format
    double quantised_bytes = 0;  ///< theirs
};

struct weight_format {
    std::string_view name;
    double bytes; ///< of a parameter
};
/// q8 and q4: blocks of 32 values with a 16-bit scale.
inline constexpr std::array<weight_format, 4> weight_formats{
    {{"f32", 4.0}, {"f16/bf16", 2.0}, {"q8", 34.0 / 32}, {"q4", 18.0 / 32}}};

/// An adapter's settings, and what it would change.
struct adapter_facts {
    llamavision::checkpoint::adapter_config config;
    std::set<std::string> modules; ///< last parts of the names of the modules that have factors
    std::size_t whole = 0;         ///< tensors that replace the model's
    part size;
};

struct inspection {
    llamavision::checkpoint::description checkpoint;
    std::optional<adapter_facts> adapter;    ///< of an adapter; most of what follows is then empty
    built_in const* configuration = nullptr; ///< null: this program was not built for it
    std::string nearest;                     ///< then: the nearest one, and in which numbers it differs
    std::vector<std::string> differences;
    std::vector<part> parts; ///< the last is the whole
    std::optional<tile_tables> tables;
    std::optional<llamavision::memory_plan> plan;
    std::set<std::string> computed_in, widened; ///< block types that stay, and that become F16 at load
    double block_bytes = 0, widened_bytes = 0;  ///< of those that become F16: stored, and in memory
    std::vector<llamavision::checkpoint::quantised_kind> quantised; ///< formats of quantising libraries
    std::string tokenizer;                                          ///< as text; empty: none
    std::string conversations;                                      ///< how they are written, as text
    bool text_alone = false;                                        ///< no vision tower
    bool base = false;        ///< no chat template, and no end of a turn among the stop ids
    bool whole_model = false; ///< the parts are all of the model's tensors
    std::vector<std::string> problems, warnings;
};

/// What the model would take in memory; nothing if `known` is null, which means that this program was not built for it.
/// Reads no weight.
/// Throws mismatch_error, naming `path`, unless the tensors are those that the numbers ask for.
std::optional<llamavision::memory_plan> check_fit(llamavision::checkpoint::model_config const& model,
                                                  built_in const* known, llamavision::checkpoint::named_tensors tensors,
                                                  std::filesystem::path const& path);

/// Reads everything, and lists all faults instead of throwing.
[[nodiscard]] inspection look_at(std::filesystem::path const& path, llamavision::checkpoint::gguf_dialect dialect);

} // namespace program
