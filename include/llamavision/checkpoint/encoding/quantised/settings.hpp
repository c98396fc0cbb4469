// SPDX-License-Identifier: Apache-2.0
// What config.json says about quantised weights. The tensors count: lists of modules are not obeyed, since libraries
// write them in names that are not the file's. But a method, a format, a width or a group that contradicts the tensors
// is an error, because one of the two is then not what its writer meant.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/inputs.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/quoted.hpp>

#include <cstddef>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace llamavision::checkpoint {

/// quantization_config, and the type in which the model computes.
struct scheme_settings {
    json_view json;               ///< an object; without quantization_config an empty one
    std::string method;           ///< "bitsandbytes", "gptq", ...; "mlx" for its files, which do not say it; or empty
    dtype computed = dtype::bf16; ///< dtype of config.json: F32, F16 or BF16
    config::numbers const* numbers = nullptr; ///< the model's; null if they are not known
};

namespace detail {

/// Scales of activations and of the cache of keys and values, which do not change weights.
inline constexpr std::string_view activation_endings[] = {
    ".input_scale",  ".input_zero_point",  ".input_global_scale", ".k_scale",
    ".output_scale", ".output_zero_point", ".weight_observer",    ".v_scale",
};

/// @throws mismatch_error that names the tensor and the setting which denies it
[[noreturn]] inline void deny(module_parts const& parts, std::string_view ending, std::string const& is,
                              std::string const& setting) {
    throw mismatch_error(parts.place(ending) + " is " + is + ", but " + setting);
}

/// Checks that `method` may have written the part.
inline void check_method(module_parts const& parts, std::string_view ending, scheme_settings const& s,
                         std::string const& is, std::initializer_list<std::string_view> methods) {
    for (std::string_view const method : methods)
        if (s.method == method) return;
    deny(parts, ending, is,
         s.method.empty() ? s.json.place() + "there is no quantization_config that says so"
                          : s.json.place() + "quant_method is " + in_quotes(s.method));
}

/// The columns of the module's weight, where its tensors do not tell.
[[nodiscard]] inline std::size_t known_inputs(module_parts const& parts, std::string_view ending,
                                              scheme_settings const& s) {
    std::size_t const inputs = s.numbers ? inputs_of(parts.name(), *s.numbers) : 0;
    if (inputs == 0) parts.fail(ending, "no tensor tells its rows and columns, and config.json knows no such layer");
    return inputs;
}

/// Checks an integer that the settings may say.
inline void check_setting(module_parts const& parts, std::string_view ending, json_view const& json,
                          std::string_view key, std::size_t value, std::string const& is) {
    auto const said = json.find(key);
    if (said && (!said->json().is_number_integer() || said->json() != value))
        deny(parts, ending, is, said->place() + "says " + said->json().dump());
}

} // namespace detail

} // namespace llamavision::checkpoint
