// SPDX-License-Identifier: Apache-2.0
// The endings of all stored tensors, and the scheme that each of them belongs to.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/bitsandbytes.hpp>
#include <llamavision/checkpoint/encoding/quantised/bytes.hpp>
#include <llamavision/checkpoint/encoding/quantised/compressed_tensors.hpp>
#include <llamavision/checkpoint/encoding/quantised/dequantise.hpp>
#include <llamavision/checkpoint/encoding/quantised/gptq.hpp>
#include <llamavision/checkpoint/encoding/quantised/hqq.hpp>
#include <llamavision/checkpoint/encoding/quantised/join.hpp>
#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/mlx.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/quanto.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>
#include <llamavision/checkpoint/encoding/quantised/torchao.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// A scheme: the ending of a tensor that only it has, and its reader.
struct scheme {
    std::string_view ending;
    quantised_matrix (*read)(module_parts&, scheme_settings const&);
};

inline constexpr scheme schemes[] = {
    {nf4_state, read_bitsandbytes_4},
    {fp4_state, read_bitsandbytes_4},
    {".SCB", read_bitsandbytes_8},
    {".weight_packed", read_packed},
    {".weight_scale", read_bytes},
    {".weight_scale_inv", read_bytes},
    {".qweight", read_gptq},
    {".scales", read_mlx},
    {"._weight_qdata", read_torchao},
    {".W_q", read_hqq},
    {".weight._data._data", read_quanto_bits},
    {".weight._data", read_quanto_bytes},
};

/// All other endings of quantised modules' tensors, library by library. ".weight" alone does not make a module
/// quantised.
inline constexpr std::string_view other_endings[] = {
    // bitsandbytes
    ".weight.absmax", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map", ".weight_format",
    // compressed-tensors, and ModelOpt's second scale
    ".weight_shape", ".weight_zero_point", ".weight_g_idx", ".weight_global_scale", ".weight_scale_2",
    // GPTQ and AWQ, MLX
    ".qzeros", ".g_idx", ".biases",
    // torchao, quanto
    "._weight_scale", "._weight_zero_point", ".weight._scale", ".weight._shift",
    // HQQ, beside hqq_settings
    ".scale", ".zero", ".nbits", ".axis", ".shape", ".group_size"};

/// The ending of a stored tensor's name; empty if it is not one of a quantised module's.
[[nodiscard]] inline std::string_view ending_of(std::string_view name) {
    std::string_view found;
    auto const consider = [&](std::string_view ending) {
        if (name.size() > ending.size() && name.ends_with(ending) && ending.size() > found.size()) found = ending;
    };
    for (scheme const& s : schemes) consider(s.ending);
    for (std::string_view const ending : other_endings) consider(ending);
    for (std::string_view const ending : hqq_settings) consider(ending);
    for (std::string_view const ending : activation_endings) consider(ending);
    return found;
}

/// Whether the module has nothing but scales of activations, or of the cache of keys and values.
[[nodiscard]] inline bool has_activations_alone(module_parts const& parts) {
    for (auto const& part : parts.endings())
        if (part.first != ".weight"
            && std::find(std::begin(activation_endings), std::end(activation_endings), part.first)
                   == std::end(activation_endings))
            return false;
    return true;
}

/// Refuses settings that change what a model computes beside its weights.
inline void check_general_settings(scheme_settings const& s) {
    for (char const* const key : {"transform_config", "sparsity_config"}) // compressed-tensors
        if (auto const value = s.json.find(key); value && value->json().is_object() && !value->json().empty()) {
            auto const format = value->find("format");
            if (!format || format->json() != "dense")
                throw mismatch_error(value->place() + "rotated or sparse weights are not read");
        }
}

/// @throws format_error and mismatch_error
[[nodiscard]] inline std::shared_ptr<quantised_matrix const> read_module(module_parts& parts,
                                                                         scheme_settings const& s) {
    for (scheme const& candidate : schemes) {
        if (!parts.has(candidate.ending)) continue;
        for (std::string_view const ending : activation_endings) static_cast<void>(parts.find(ending));
        auto m = std::make_shared<quantised_matrix>(candidate.read(parts, s));
        m->stored_bytes = parts.bytes();
        for (auto const& [ending, used] : parts.endings())
            if (!used) parts.fail(ending, "does not belong to " + m->format);
        return m;
    }
    auto const ending = parts.endings().front().first;
    parts.fail(ending, "belongs to a quantised weight, but the tensors beside it are of no known format");
}

/// The modules that have tensors of quantised weights.
[[nodiscard]] inline std::map<std::string, module_parts> modules_of(named_tensors const& source,
                                                                    std::string const& file) {
    std::map<std::string, module_parts> modules;
    for (auto const& [name, value] : source.tensors) {
        std::string const ending(ending_of(name));
        if (ending.empty()) continue;
        std::string const module = name.substr(0, name.size() - ending.size());
        modules.try_emplace(module, module, file).first->second.add(ending, value);
    }
    for (auto& [name, parts] : modules)
        if (auto const weight = source.tensors.find(name + ".weight"); weight != source.tensors.end())
            parts.add(".weight", weight->second);
    return modules;
}

} // namespace detail

LLAMAVISION_INLINE named_tensors join_quantised(named_tensors source, model_config const* model,
                                                std::string const& file, faults mode,
                                                std::vector<std::string>& problems) {
    auto modules = detail::modules_of(source, file);
    if (modules.empty()) return source;
    bool const said = model && model->quantisation;
    auto const document = said ? parse_json(model->quantisation->text, file) : nlohmann::json::object();
    scheme_settings const settings{
        json_view(document, said ? model->quantisation->file : file, said ? model->quantisation->key : ""),
        said ? model->quantisation->method : "",
        detail::dtype_of_torch(model ? model->dtype : "").value_or(dtype::bf16), model ? &model->values : nullptr};
    attempt(mode, problems, [&] { detail::check_general_settings(settings); });
    std::vector<std::string> found; // with faults::collected: of all modules, which often have the same fault
    for (auto& [name, parts] : modules)
        attempt(mode, found, [&, &name = name, &parts = parts] {
            if (detail::has_activations_alone(parts)) {
                for (auto const& part : parts.endings())
                    if (part.first != ".weight") source.tensors.erase(name + part.first);
                return;
            }
            tensor joined = tensor_of(detail::read_module(parts, settings));
            for (auto const& part : parts.endings()) source.tensors.erase(name + part.first);
            source.tensors.emplace(name + ".weight", std::move(joined));
        });
    constexpr std::size_t limit = 5;
    problems.insert(problems.end(), found.begin(),
                    found.begin() + static_cast<std::ptrdiff_t>(std::min(found.size(), limit)));
    if (found.size() > limit)
        problems.push_back(file + ": " + std::to_string(found.size() - limit)
                           + " more quantised weights cannot be read");
    return source;
}

} // namespace llamavision::checkpoint
