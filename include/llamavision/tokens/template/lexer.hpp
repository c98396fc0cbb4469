// SPDX-License-Identifier: Apache-2.0
// A template's text to lexemes: text outside of tags with the white space around tags taken off as transformers'
// settings ask (trim_blocks, lstrip_blocks), and names, numbers, strings and symbols inside of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/template/errors.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::tokens::jinja {

struct lexeme {
    enum class form : std::uint8_t {
        data,         ///< text outside of tags
        output_begin, ///< {{
        output_end,   ///< }}
        block_begin,  ///< {%
        block_end,    ///< %}
        name,
        string, ///< text: without quotes and escapes
        integer,
        real,
        symbol, ///< text: an operator or a bracket
        end     ///< of the template
    };
    form what = form::end;
    template_position at{};
    std::string text;
    std::int64_t integer = 0;
    double real = 0;
};

/// The lexemes of a template, the last of them form::end. Source: jinja2 3.1.6, lexer.py. Throws template_error.
[[nodiscard]] std::vector<lexeme> lexemes_of(std::string_view source, std::string const& name);

} // namespace llamavision::tokens::jinja
