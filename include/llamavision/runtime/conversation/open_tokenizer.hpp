// SPDX-License-Identifier: Apache-2.0
// A checkpoint's tokenizer, wherever it lies: in the weights' file, or in one of its own.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/tokenizer.hpp>

namespace llamavision {

/// Where the tokenizer lies, for messages; empty if there is none.
[[nodiscard]] LLAMAVISION_INLINE std::string tokenizer_place(checkpoint::description const& d);

/// Whether these are the words of a base model, which continues texts: no chat template, and no answer ends with
/// <|eot_id|>. Only forms that have a place for both can say so: Hugging Face's, and this library's GGUF.
[[nodiscard]] inline bool is_base(checkpoint::description const& d, tokens::tokenizer const& tokenizer) {
    auto const& stops = d.generation.stop_ids;
    bool const tells = d.form == checkpoint::kind::hugging_face || d.dialect == "llamavision";
    return tells && d.chat.text.empty() && !stops.empty()
           && std::find(stops.begin(), stops.end(), tokenizer.eot()) == stops.end();
}

/// @return nothing if the checkpoint has none
/// @throws file_error, format_error
[[nodiscard]] LLAMAVISION_INLINE std::optional<tokens::tokenizer> open_tokenizer(checkpoint::description const& d);

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/open_tokenizer.ipp>
#endif
