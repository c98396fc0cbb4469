// SPDX-License-Identifier: Apache-2.0
// A short text that tells whether files of weights have changed, made without reading all of their bytes.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include <llamavision/support/separate.hpp>

namespace llamavision::checkpoint {

/// SHA-256, as 64 hexadecimal digits, of every file's size, modification time, and 256 samples of 4 KiB each, among
/// them the first and the last bytes. Training changes nearly all weights, so other weights are noticed even if size
/// and time are the same. Names and folders of the files have no influence.
/// @throws file_error
[[nodiscard]] LLAMAVISION_INLINE std::string fingerprint(std::span<std::filesystem::path const> files);

} // namespace llamavision::checkpoint

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/checkpoint/fingerprint.ipp>
#endif
