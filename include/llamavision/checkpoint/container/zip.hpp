// SPDX-License-Identifier: Apache-2.0
// Reads zip archives whose members are stored without compression, as torch.save writes them. Members are views of the
// archive's bytes. Their sizes come from the list at the end (the central directory), which is checked against the
// rest: members must lie inside of the file and may not overlap.
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint {

/// One file in an archive.
struct zip_member {
    std::string_view name; ///< as stored, with folders; may be any bytes
    std::span<std::byte const> bytes;
};

namespace detail {

class zip_reader {
  public:
    zip_reader(std::span<std::byte const> bytes, std::string const& name) : bytes_(bytes), name_(name) {}

    [[nodiscard]] std::vector<zip_member> read() {
        auto const list = find_list();
        std::vector<zip_member> members;
        std::set<std::string_view> names;
        std::size_t at = list.begin;
        for (std::uint64_t i = 0; i < list.count; ++i) {
            members.push_back(member(at, list));
            if (!names.insert(members.back().name).second)
                fail(at, "the name " + in_quotes(members.back().name) + " occurs twice");
        }
        if (at != list.end)
            fail(at, "the list of members is longer than its " + std::to_string(list.count) + " entries");
        check_overlaps();
        return members;
    }

  private:
    /// The central directory: entries from `begin` to `end`.
    struct directory {
        std::size_t begin, end;
        std::uint64_t count;
    };
    struct range {
        std::size_t begin, end;
        std::string_view name;
    };

    static constexpr std::uint64_t saturated_16 = 0xFFFF, saturated_32 = 0xFFFFFFFF;
    static constexpr std::size_t end_size = 22, zip64_end_size = 56, locator_size = 20, entry_size = 46,
                                 local_size = 30;

    [[noreturn]] void fail(std::size_t at, std::string const& what) const {
        throw format_error(name_ + ", byte " + std::to_string(at) + ": " + what);
    }

    /// A little-endian number of `size` bytes.
    /// @pre it lies in the file
    [[nodiscard]] std::uint64_t number(std::size_t at, std::size_t size) const {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i)
            value |= std::uint64_t{std::to_integer<std::uint8_t>(bytes_[at + i])} << (8 * i);
        return value;
    }
    [[nodiscard]] std::string_view text(std::size_t at, std::size_t size) const {
        return {reinterpret_cast<char const*>(bytes_.data()) + at, size};
    }
    [[nodiscard]] bool fits(std::uint64_t at, std::uint64_t size, std::size_t end) const {
        return at <= end && size <= end - at;
    }

    /// The place of the last record (end of central directory), which a comment of at most 65535 bytes may follow.
    [[nodiscard]] std::size_t find_end() const {
        if (bytes_.size() >= end_size) {
            std::size_t const last = bytes_.size() - end_size, reach = std::min<std::size_t>(last, saturated_16);
            for (std::size_t at = last; at + reach >= last; --at) {
                if (number(at, 4) == 0x06054b50 && number(at + 20, 2) == last - at) return at;
                if (at == 0) break;
            }
        }
        throw format_error(name_ + ": not a zip archive, or cut off: the list of members at its end is missing");
    }

    [[nodiscard]] directory find_list() const {
        std::size_t const end = find_end();
        std::uint64_t disk = number(end + 4, 2) | number(end + 6, 2), count = number(end + 10, 2);
        std::uint64_t size = number(end + 12, 4), begin = number(end + 16, 4);
        if (count != number(end + 8, 2)) fail(end, "the archive is one of several parts");
        std::size_t list_end = end;
        if (end >= locator_size && number(end - locator_size, 4) == 0x07064b50) {
            std::uint64_t const at = number(end - locator_size + 8, 8);
            if (!fits(at, zip64_end_size, end - locator_size) || number(static_cast<std::size_t>(at), 4) != 0x06064b50)
                fail(end - locator_size,
                     "the zip64 record should be at byte " + std::to_string(at) + ", but is not there");
            list_end = static_cast<std::size_t>(at);
            disk |= number(list_end + 16, 4) | number(list_end + 20, 4);
            replace(count, saturated_16, list_end + 32);
            replace(size, saturated_32, list_end + 40);
            replace(begin, saturated_32, list_end + 48);
            if (number(list_end + 24, 8) != count) fail(list_end, "the archive is one of several parts");
        }
        if (disk != 0) fail(end, "the archive is one of several parts");
        if (!fits(begin, size, list_end) || begin + size != list_end)
            fail(end, "the list of members should fill the bytes " + std::to_string(begin) + " to "
                          + std::to_string(list_end) + ", but has " + std::to_string(size));
        if (count > size / entry_size)
            fail(end, std::to_string(count) + " members do not fit into a list of " + std::to_string(size) + " bytes");
        return {static_cast<std::size_t>(begin), list_end, count};
    }

    /// Replaces `value`, read from a short field, by the zip64 field at `at`. The short one must hold its maximum or
    /// the same number.
    void replace(std::uint64_t& value, std::uint64_t saturated, std::size_t at) const {
        std::uint64_t const large = number(at, 8);
        if (value != saturated && value != large)
            fail(at,
                 "the zip64 record says " + std::to_string(large) + " where the old one says " + std::to_string(value));
        value = large;
    }

    /// Reads the entry of the list at `at`, and moves `at` to the next one.
    [[nodiscard]] zip_member member(std::size_t& at, directory const& list) {
        std::size_t const entry = at;
        if (!fits(entry, entry_size, list.end) || number(entry, 4) != 0x02014b50)
            fail(entry, "an entry of the list of members should be here, but is not");
        auto const name_size = static_cast<std::size_t>(number(entry + 28, 2));
        auto const extra_size = static_cast<std::size_t>(number(entry + 30, 2));
        auto const comment_size = static_cast<std::size_t>(number(entry + 32, 2));
        if (!fits(entry + entry_size, name_size + extra_size + comment_size, list.end))
            fail(entry, "an entry of the list of members is cut off");
        at = entry + entry_size + name_size + extra_size + comment_size;
        auto const name = text(entry + entry_size, name_size);

        std::uint64_t packed = number(entry + 20, 4), size = number(entry + 24, 4), where = number(entry + 42, 4);
        std::uint64_t disk = number(entry + 34, 2);
        read_zip64(entry + entry_size + name_size, extra_size, size, packed, where, disk);
        check_method(entry, number(entry + 8, 2), number(entry + 10, 2), name);
        if (disk != 0) fail(entry, in_quotes(name) + " is in another part of the archive");
        if (packed != size)
            fail(entry, in_quotes(name) + " is stored, but says " + std::to_string(packed) + " and "
                            + std::to_string(size) + " bytes");
        return {name, data_of(where, size, name, list.begin)};
    }

    /// Reads the extra field 1 (zip64), which holds those numbers that do not fit into the entry, in the order of the
    /// parameters.
    void read_zip64(std::size_t at, std::size_t size, std::uint64_t& unpacked, std::uint64_t& packed,
                    std::uint64_t& where, std::uint64_t& disk) const {
        std::size_t const end = at + size;
        while (end - at >= 4) {
            auto const id = number(at, 2);
            auto const length = static_cast<std::size_t>(number(at + 2, 2));
            at += 4;
            if (length > end - at) fail(at, "an extra field is cut off");
            std::size_t field = at;
            at += length;
            if (id != 1) continue;
            for (auto* const value : {&unpacked, &packed, &where}) {
                if (*value != saturated_32) continue;
                if (at - field < 8) fail(field, "a zip64 field is cut off");
                *value = number(field, 8);
                field += 8;
            }
            if (disk == saturated_16 && at - field >= 4) disk = number(field, 4);
            return;
        }
    }

    void check_method(std::size_t at, std::uint64_t flags, std::uint64_t method, std::string_view name) const {
        if (flags & 0x2041) // encrypted, strongly encrypted, masked
            fail(at, in_quotes(name) + " is encrypted");
        if (method != 0)
            fail(at, in_quotes(name)
                         + (method == 8 ? " is deflated" : " is compressed (method " + std::to_string(method) + ")")
                         + "; torch.save stores its files as they are: unpack the archive and pack it again without "
                           "compression (zip -0), or fetch the original");
    }

    /// The bytes of a member. Of the local header at `where`, only the place where the data begin is used.
    [[nodiscard]] std::span<std::byte const> data_of(std::uint64_t where, std::uint64_t size, std::string_view name,
                                                     std::size_t list_begin) {
        auto const missing = [&](std::uint64_t at) {
            return in_quotes(name) + " should have " + std::to_string(size) + " bytes at byte " + std::to_string(at)
                   + ", but the list of members begins at byte " + std::to_string(list_begin);
        };
        if (!fits(where, local_size, list_begin)) fail(list_begin, missing(where));
        auto const header = static_cast<std::size_t>(where);
        if (number(header, 4) != 0x04034b50) fail(header, in_quotes(name) + " should begin here, but does not");
        auto const name_size = static_cast<std::size_t>(number(header + 26, 2));
        std::size_t const before = local_size + name_size + static_cast<std::size_t>(number(header + 28, 2));
        if (!fits(header, before, list_begin)) fail(header, missing(where));
        std::size_t const data = header + before;
        if (!fits(data, size, list_begin)) fail(header, missing(data));
        if (text(header + local_size, name_size) != name)
            fail(header, in_quotes(name) + " is called " + in_quotes(text(header + local_size, name_size)) + " here");
        check_method(header, number(header + 6, 2), number(header + 8, 2), name);
        ranges_.push_back({header, data + static_cast<std::size_t>(size), name});
        return bytes_.subspan(data, static_cast<std::size_t>(size));
    }

    void check_overlaps() {
        std::sort(ranges_.begin(), ranges_.end(), [](range const& a, range const& b) { return a.begin < b.begin; });
        for (std::size_t i = 1; i < ranges_.size(); ++i)
            if (ranges_[i].begin < ranges_[i - 1].end)
                fail(ranges_[i].begin,
                     in_quotes(ranges_[i - 1].name) + " and " + in_quotes(ranges_[i].name) + " overlap");
    }

    std::span<std::byte const> bytes_;
    std::string const& name_;
    std::vector<range> ranges_;
};

} // namespace detail

/// The members of an archive, in the order of its list. They view `bytes`, which must outlive them; their own bytes are
/// not read. `name` is the file's name in errors.
/// @throws format_error for a file that is no zip archive, is cut off or one of several parts; for members that are
///         compressed or encrypted, overlap or lie outside; and for names that occur twice
[[nodiscard]] inline std::vector<zip_member> read_zip(std::span<std::byte const> bytes, std::string const& name) {
    return detail::zip_reader(bytes, name).read();
}

} // namespace llamavision::checkpoint
