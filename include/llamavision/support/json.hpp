// SPDX-License-Identifier: Apache-2.0
// JSON from files that nobody vouches for: bounded in size, depth and number of values, no duplicate keys, nothing
// after the document. The parser is the library's own: it compiles in a tenth of the time of a general one.
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/impostor.hpp>
#include <llamavision/support/json_document.hpp>
#include <llamavision/support/json_parser.hpp>
#include <llamavision/support/text_file.hpp>

#include <filesystem>
#include <string>
#include <string_view>

namespace llamavision {

/// The document `text`, called `name` in errors. Throws format_error with the byte offset of what is wrong: anything
/// that RFC 8259 forbids, and byte order marks, zero bytes, duplicate keys, numbers that a double cannot hold, and
/// documents beyond `limits`.
[[nodiscard]] inline json_document parse_json(std::string_view text, std::string const& name, json_limits limits = {}) {
    if (auto const what = impostor(text); !what.empty()) throw format_error(name + ": " + std::string(what));
    if (text.size() > limits.bytes)
        throw format_error(name + ": has " + std::to_string(text.size()) + " bytes, more than the limit of "
                           + std::to_string(limits.bytes));
    if (text.empty()) throw format_error(name + ": is empty");
    if (text.starts_with("\xef\xbb\xbf"))
        throw format_error(name + ": not valid JSON at byte 0: a byte order mark; save it as UTF-8 without one");
    if (auto const at = text.find('\0'); at != std::string_view::npos)
        throw format_error(name + ": not valid JSON at byte " + std::to_string(at) + ": a zero byte");
    return detail::json_parser(text, name, limits).parse();
}

/// The document in the file `path`. Throws file_error and format_error.
[[nodiscard]] inline json_document read_json(std::filesystem::path const& path, json_limits limits = {}) {
    return parse_json(read_text_file(path, limits.bytes), path.string(), limits);
}

} // namespace llamavision
