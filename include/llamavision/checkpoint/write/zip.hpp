// SPDX-License-Identifier: Apache-2.0
// Writes zip archives like torch.save: members are stored without compression, the data of each begin at a multiple of
// 64 bytes, sizes and checksums follow the data, and the end is always a zip64 one.
#pragma once

#include <llamavision/checkpoint/encoding/convert.hpp>
#include <llamavision/support/crc32.hpp>
#include <llamavision/support/replacement_file.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint::detail {

/// Appends the lowest `bytes` bytes of a number, little-endian.
inline void put_number(std::string& text, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}

/// Writes one archive into a file. Call `add` for each member, then `finish`.
class zip_writer {
  public:
    explicit zip_writer(replacement_file& file) : file_(file) {}

    /// Writes a member of exactly `size` bytes, which `write_bytes` hands to its sink.
    void add(std::string name, std::uint64_t size, std::function<void(byte_sink const&)> const& write_bytes) {
        member m{std::move(name), size, file_.size(), 0};
        file_.write(local_header(m));
        crc32 sum;
        write_bytes([&](std::span<std::byte const> piece) {
            sum.add(piece);
            file_.write(piece);
        });
        m.checksum = sum.value();
        std::string behind;
        put_number(behind, 0x08074b50, 4);
        put_number(behind, m.checksum, 4);
        for (int i = 0; i < 2; ++i)
            put_number(behind, size, is_large(size) ? 8 : 4); // the compressed size, and the same uncompressed
        file_.write(behind);
        members_.push_back(std::move(m));
    }
    void add(std::string name, std::string_view text) {
        add(std::move(name), text.size(),
            [&](byte_sink const& sink) { sink(std::as_bytes(std::span(text.data(), text.size()))); });
    }

    /// Writes the list of members and the three records at the end.
    void finish() {
        std::string directory;
        for (member const& m : members_) directory += central_header(m);
        std::uint64_t const begin = file_.size(), zip64_end = begin + directory.size(), count = members_.size();
        std::string end;
        put_number(end, 0x06064b50, 4); // zip64: the end
        put_number(end, 44, 8);         // bytes of this record from here on
        put_number(end, version, 2);
        put_number(end, version, 2);
        put_number(end, 0, 8); // numbers of disks
        put_number(end, count, 8);
        put_number(end, count, 8);
        put_number(end, directory.size(), 8);
        put_number(end, begin, 8);
        put_number(end, 0x07064b50, 4); // zip64: where that record is
        put_number(end, 0, 4);
        put_number(end, zip64_end, 8);
        put_number(end, 1, 4);
        put_number(end, 0x06054b50, 4); // the end record of the old format; its fields are capped
        put_number(end, 0, 4);
        put_number(end, count < 0xFFFF ? count : 0xFFFF, 2);
        put_number(end, count < 0xFFFF ? count : 0xFFFF, 2);
        put_number(end, capped(directory.size()), 4);
        put_number(end, capped(begin), 4);
        put_number(end, 0, 2);
        file_.write(directory);
        file_.write(end);
    }

  private:
    static constexpr std::uint64_t alignment = 64, version = 45;
    static constexpr std::uint64_t flags = 0x0808; // sizes behind the data; names are UTF-8
    static constexpr std::uint64_t date = 0x21;    // 1 January 1980: the same tensors give the same bytes

    struct member {
        std::string name;
        std::uint64_t size, offset;
        std::uint32_t checksum;
    };

    static bool is_large(std::uint64_t value) { return value >= 0xFFFFFFFF; }
    static std::uint64_t capped(std::uint64_t value) { return is_large(value) ? 0xFFFFFFFF : value; }

    /// Appends the fields that both headers of a member have in common.
    static void put_common(std::string& text, member const& m, std::uint64_t size, std::size_t extra) {
        put_number(text, is_large(m.size) || is_large(m.offset) ? version : 20, 2);
        put_number(text, flags, 2);
        put_number(text, 0, 2); // stored
        put_number(text, 0, 2); // time
        put_number(text, date, 2);
        put_number(text, m.checksum, 4);
        put_number(text, size, 4);
        put_number(text, size, 4);
        put_number(text, m.name.size(), 2);
        put_number(text, extra, 2);
    }

    static std::string local_header(member const& m) {
        std::string extra;
        if (is_large(m.size)) { // zip64: the sizes behind the data have 8 bytes
            put_number(extra, 1, 2);
            put_number(extra, 16, 2);
            put_number(extra, m.size, 8);
            put_number(extra, m.size, 8);
        }
        std::uint64_t const before = m.offset + 30 + m.name.size() + extra.size() + 4;
        std::uint64_t const padding = (alignment - before % alignment) % alignment;
        put_number(extra, 0x4246, 2); // "FB", torch's padding
        put_number(extra, padding, 2);
        extra += std::string(static_cast<std::size_t>(padding), 'Z');
        std::string text;
        put_number(text, 0x04034b50, 4);
        put_common(text, m, is_large(m.size) ? 0xFFFFFFFF : 0, extra.size());
        return text + m.name + extra;
    }

    static std::string central_header(member const& m) {
        std::string extra;
        if (is_large(m.size) || is_large(m.offset)) {
            std::string numbers;
            if (is_large(m.size)) put_number(numbers, m.size, 8), put_number(numbers, m.size, 8);
            if (is_large(m.offset)) put_number(numbers, m.offset, 8);
            put_number(extra, 1, 2);
            put_number(extra, numbers.size(), 2);
            extra += numbers;
        }
        std::string text;
        put_number(text, 0x02014b50, 4);
        put_number(text, version, 2); // made by
        put_common(text, m, capped(m.size), extra.size());
        for (int i = 0; i < 5; ++i) put_number(text, 0, 2); // comment, disk, attributes: none
        put_number(text, capped(m.offset), 4);
        return text + m.name + extra;
    }

    replacement_file& file_;
    std::vector<member> members_;
};

} // namespace llamavision::checkpoint::detail
