// SPDX-License-Identifier: Apache-2.0
// Makes files of torch.save byte by byte, correct and hostile ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace archive {

/// A little-endian number of so many bytes.
inline std::string number(std::uint64_t value, std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(i < 8 ? value >> (8 * i) & 0xff : 0);
    return text;
}

inline std::span<std::byte const> bytes(std::string const& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

struct member {
    std::string name, data;
    std::uint64_t method = 0, flags = 0;
};

struct zip_options {
    bool zip64 = false;       ///< all numbers are in zip64 fields, and short fields have their maximum
    bool descriptors = false; ///< sizes follow the data, and are 0 in local headers
    std::string comment{};
};

inline std::string zip(std::vector<member> const& members, zip_options const& options = {}) {
    std::string file, list;
    for (member const& m : members) {
        std::uint64_t const at = file.size(), size = m.data.size(), local = options.descriptors ? 0 : size;
        std::string const common = number(20, 2) + number(m.flags, 2) + number(m.method, 2) + number(0, 8);
        file += number(0x04034b50, 4) + common + number(local, 4) + number(local, 4) + number(m.name.size(), 2)
                + number(3, 2) + m.name + "FB!" + m.data;
        if (options.descriptors) file += number(0x08074b50, 4) + number(0, 4) + number(size, 4) + number(size, 4);
        std::uint64_t const most = 0xFFFFFFFF;
        std::string const extra =
            options.zip64 ? number(1, 2) + number(24, 2) + number(size, 8) + number(size, 8) + number(at, 8) : "";
        list += number(0x02014b50, 4) + number(20, 2) + common + number(options.zip64 ? most : size, 4)
                + number(options.zip64 ? most : size, 4) + number(m.name.size(), 2) + number(extra.size(), 2)
                + number(0, 10) + number(options.zip64 ? most : at, 4) + m.name + extra;
    }
    std::uint64_t const begin = file.size(), size = list.size(), count = members.size(), end = begin + size;
    file += list;
    if (options.zip64)
        file += number(0x06064b50, 4) + number(44, 8) + number(45, 2) + number(45, 2) + number(0, 8) + number(count, 8)
                + number(count, 8) + number(size, 8) + number(begin, 8) + number(0x07064b50, 4) + number(0, 4)
                + number(end, 8) + number(1, 4);
    bool const full = options.zip64;
    return file + number(0x06054b50, 4) + number(0, 4) + number(full ? 0xFFFF : count, 2)
           + number(full ? 0xFFFF : count, 2) + number(full ? 0xFFFFFFFF : size, 4)
           + number(full ? 0xFFFFFFFF : begin, 4) + number(options.comment.size(), 2) + options.comment;
}

// Pickle, protocol 2: each function gives the instructions that push one value.

inline std::string text(std::string const& value) { return "X" + number(value.size(), 4) + value; }
inline std::string integer(std::uint64_t value) { return "\x8a\x08" + number(value, 8); }
inline std::string global(std::string const& module, std::string const& name) {
    return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(std::vector<std::uint64_t> const& values) {
    std::string all;
    for (auto const value : values) all += integer(value);
    return "(" + all + "t";
}
inline std::string storage(std::string const& key, std::uint64_t count, std::string const& type = "BFloat16Storage") {
    return "(" + text("storage") + global("torch", type) + text(key) + text("cpu") + integer(count) + "tQ";
}
inline std::string tensor(std::string const& from, std::uint64_t offset, std::vector<std::uint64_t> const& shape,
                          std::vector<std::uint64_t> const& strides) {
    return global("torch._utils", "_rebuild_tensor_v2") + "(" + from + integer(offset) + tuple(shape) + tuple(strides)
           + "\x89" + global("collections", "OrderedDict") + ")RtR";
}
inline std::string dictionary(std::vector<std::pair<std::string, std::string>> const& entries) {
    std::string all = "}(";
    for (auto const& [key, value] : entries) all += text(key) + value;
    return all + "u";
}
inline std::string pickle(std::string const& value) { return "\x80\x02" + value + "."; }

/// The whole file; storage i is `storages[i]`.
inline std::string pth(std::string const& value, std::vector<std::string> const& storages) {
    std::vector<member> members{{"x/data.pkl", pickle(value)}, {"x/byteorder", "little"}};
    for (std::size_t i = 0; i < storages.size(); ++i) members.push_back({"x/data/" + std::to_string(i), storages[i]});
    return zip(members);
}

} // namespace archive
