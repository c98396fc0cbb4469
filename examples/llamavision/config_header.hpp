// SPDX-License-Identifier: Apache-2.0
// Prints a configuration as the C++ type that a program is built from.
#pragma once

#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/print_number.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace program {

/// A name for the type that describes the model in `folder`, made from the folder's name: "Llama-3.2-11B" becomes
/// "llama_3_2_11b_config". With the suffix it is no keyword, macro or function of the C library.
[[nodiscard]] inline std::string type_name(std::filesystem::path const& folder) {
    std::error_code fault;
    auto path = std::filesystem::absolute(folder, fault).lexically_normal();
    if (!path.has_filename()) path = path.parent_path(); // "folder/"
    std::string result;
    for (char const c : path.filename().string()) {
        bool const upper = c >= 'A' && c <= 'Z';
        bool const kept = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (kept) {
            result += upper ? static_cast<char>(c - 'A' + 'a') : c;
        } else if (!result.empty() && result.back() != '_') {
            result += '_';
        }
    }
    if (!result.empty() && result.back() == '_') result.pop_back();
    if (result.empty() || (result.front() >= '0' && result.front() <= '9'))
        result.insert(0, result.empty() ? "model" : "model_");
    return result + "_config";
}

namespace detail {

[[nodiscard]] inline std::string array_of(std::string const& name, std::vector<std::size_t> const& values) {
    std::string result = "std::array<std::size_t, " + std::to_string(values.size()) + "> " + name + "{";
    for (std::size_t i = 0; i < values.size(); ++i) result += (i == 0 ? "" : ", ") + std::to_string(values[i]);
    return result + "}";
}

[[nodiscard]] inline bool is_identifier(std::string_view name) {
    auto const letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    return !name.empty() && letter(name.front()) && name.find("__") == std::string_view::npos
           && std::all_of(name.begin(), name.end(),
                          [letter](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

} // namespace detail

/// A header that defines `type_name` with the numbers `n` in the global namespace, and names it in the macro
/// LLAMAVISION_PROGRAM_CONFIG_TYPES, from which the program takes the configurations that it is built for. Throws
/// argument_error if `type_name` is no identifier. The aspect ratios follow from the number of tiles.
[[nodiscard]] inline std::string to_header(llamavision::config::numbers const& n, std::string_view type_name) {
    if (!detail::is_identifier(type_name))
        throw llamavision::argument_error(llamavision::in_quotes(type_name) + " cannot be the name of a type");
    std::string const name(type_name);
    std::string result;
    auto const line = [&result](std::string const& text) { result += text + '\n'; };
    auto const members = [](std::vector<std::pair<std::string, std::size_t>> const& values) {
        std::string list;
        for (auto const& [member, value] : values)
            list += (list.empty() ? "" : ", ") + member + " = " + std::to_string(value);
        return "        static constexpr std::size_t " + list + ";";
    };
    auto const epsilon = [](double value) {
        return "        static constexpr float norm_eps = " + llamavision::print_number(static_cast<float>(value))
               + "f;";
    };

    line("// SPDX-License-Identifier: Apache-2.0");
    line("// A model's numbers as a type, printed from its config.json.");
    line("#pragma once\n");
    line("#include <llamavision/config/numbers.hpp>\n");
    line(std::string(n.kind == llamavision::config::family::mllama ? "#include <array>\n" : "")
         + "#include <cstddef>\n#include <string_view>\n");
    line("struct " + name + " {");
    line("    static constexpr std::string_view name = \"" + name + "\";");

    bool const sees = n.kind == llamavision::config::family::mllama;
    if (llamavision::config::vision_numbers const& v = n.vision; sees) {
        line("    struct vision {");
        line(members({{"width", v.width},
                      {"mlp", v.mlp},
                      {"heads", v.heads},
                      {"layers", v.layers},
                      {"global_layers", v.global_layers}}));
        line(members({{"tile", v.tile}, {"patch", v.patch}, {"channels", v.channels}, {"tiles", v.tiles}}));
        line("        static constexpr " + detail::array_of("taps", v.taps) + ";");
        line(epsilon(v.norm_eps));
        line("    };");
    }

    llamavision::config::text_numbers const& t = n.text;
    line("    struct text {");
    line(members(
        {{"width", t.width}, {"mlp", t.mlp}, {"heads", t.heads}, {"kv_heads", t.kv_heads}, {"layers", t.layers}}));
    if (sees)
        line("        static constexpr " + detail::array_of("cross_layers", t.cross_layers) + ";");
    else
        line(std::string("        static constexpr bool tied_head = ") + (t.tied_head ? "true;" : "false;"));
    line(members({{"vocabulary", t.vocabulary}, {"context", t.context}}));
    line(epsilon(t.norm_eps));
    line("        static constexpr llamavision::config::rope_numbers rope{" + llamavision::print_number(t.rope.theta)
         + ", " + (t.rope.scaled ? "true" : "false") + ", " + llamavision::print_number(t.rope.factor) + ", "
         + llamavision::print_number(t.rope.low_freq_factor) + ", " + llamavision::print_number(t.rope.high_freq_factor)
         + ", " + std::to_string(t.rope.original_context) + "};");
    line("    };\n};\n");
    line("#define LLAMAVISION_PROGRAM_CONFIG_TYPES " + name);
    return result;
}

} // namespace program
