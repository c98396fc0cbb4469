// SPDX-License-Identifier: Apache-2.0
// A checkpoint's tokenizer: from the file of the weights, or from a file of its own.
#pragma once

#include <optional>
#include <string>

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/tokenizer.hpp>

namespace llamavision {

/// The file that holds the tokenizer, for messages; empty if there is none.
[[nodiscard]] LLAMAVISION_INLINE std::string tokenizer_place(checkpoint::description const& d);

/// @return nothing if the checkpoint has none
/// @throws file_error, format_error
[[nodiscard]] LLAMAVISION_INLINE std::optional<tokens::tokenizer> open_tokenizer(checkpoint::description const& d);

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/open_tokenizer.ipp>
#endif
