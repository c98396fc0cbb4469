// SPDX-License-Identifier: Apache-2.0
// JSON, which conversations come as, to values of a template.
#pragma once

#include <llamavision/tokens/template/machine.hpp>
#include <nlohmann/json_fwd.hpp>

namespace llamavision::tokens::jinja {

/// The value of a JSON document. With `from_user` its strings are marked, but for the words that name roles
/// ("role": "assistant") and types of content ("type": "image"). Invalid UTF-8 becomes U+FFFD. Throws rendering_error
/// for integers beyond 64 bits and for documents nested deeper than 90.
[[nodiscard]] value value_of(machine& m, nlohmann::ordered_json const& j, bool from_user);

} // namespace llamavision::tokens::jinja
