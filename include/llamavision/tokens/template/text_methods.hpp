// SPDX-License-Identifier: Apache-2.0
// What methods of str and filters share.
#pragma once

#include <cstdint>
#include <llamavision/tokens/template/machine.hpp>
#include <string_view>

namespace llamavision::tokens::jinja {

/// The text of a str. Throws rendering_error for other values; `what` names it.
[[nodiscard]] marked_text const& text_of(machine& m, value const& v, std::string_view what);

/// str.strip(characters), or of white space if none are given.
[[nodiscard]] marked_text stripped(marked_text const& text, value const& characters, bool left, bool right, machine& m);

/// str.replace(old, new, count); all of them if the count is negative.
[[nodiscard]] marked_text replaced(machine& m, marked_text const& text, marked_text const& old,
                                   marked_text const& made_of_it, std::int64_t count);

/// separator.join(items); if not `strict`, of their str().
[[nodiscard]] marked_text joined(machine& m, marked_text const& separator, value const& items, bool strict);

} // namespace llamavision::tokens::jinja
