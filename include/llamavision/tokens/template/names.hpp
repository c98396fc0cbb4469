// SPDX-License-Identifier: Apache-2.0
// The names that templates can use: filters, tests, global functions, and what of jinja2's is not here.
#pragma once

#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/template/syntax.hpp>
#include <string_view>

namespace llamavision::tokens::jinja {

/// The filter or test of that name, or null. Both take the value and the arguments behind it.
[[nodiscard]] filter_function find_filter(std::string_view name);
[[nodiscard]] filter_function find_test(std::string_view name);

/// The global function of that name, or null.
[[nodiscard]] global_function find_global(std::string_view name);

/// Whether jinja2 3.1.6 has a filter, or a test, of that name.
[[nodiscard]] bool is_jinja_filter(std::string_view name);
[[nodiscard]] bool is_jinja_test(std::string_view name);

} // namespace llamavision::tokens::jinja
