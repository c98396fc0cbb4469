// SPDX-License-Identifier: Apache-2.0
// Archives of every allowed layout, and hostile ones.
#include <llamavision/checkpoint/container/zip.hpp>

#include "../../support/message.hpp"
#include "archive.hpp"

#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::vector<std::pair<std::string, std::string>> members(std::string const& file) {
    std::vector<std::pair<std::string, std::string>> result;
    for (zip_member const& m : read_zip(archive::bytes(file), "f"))
        result.emplace_back(m.name, std::string(reinterpret_cast<char const*>(m.bytes.data()), m.bytes.size()));
    return result;
}

std::string fault(std::string const& file) {
    return message_of<format_error>([&] { return read_zip(archive::bytes(file), "f"); });
}

std::vector<archive::member> const two{{"a/data.pkl", "hello"}, {"a/data/0", "world!"}};

/// `file` with other bytes at `at`, which counts from the `occurrence`-th `signature`.
std::string patched(std::string file, std::string const& signature, std::size_t at, std::string const& by,
                    std::size_t occurrence = 0) {
    std::size_t place = file.find(signature);
    for (std::size_t i = 0; i < occurrence; ++i) place = file.find(signature, place + 1);
    REQUIRE(place != std::string::npos);
    return file.replace(place + at, by.size(), by);
}
std::string const entry = archive::number(0x02014b50, 4), local = archive::number(0x04034b50, 4),
                  end_record = archive::number(0x06054b50, 4), zip64_end = archive::number(0x06064b50, 4);

} // namespace

TEST_CASE("archives of every layout") {
    std::vector<std::pair<std::string, std::string>> const expected{{"a/data.pkl", "hello"}, {"a/data/0", "world!"}};
    for (bool const zip64 : {false, true})
        for (bool const descriptors : {false, true})
            for (std::string const comment : {"", "made by hand", "PK\5\6 and more that looks like an end"})
                CHECK(members(archive::zip(two, {zip64, descriptors, comment})) == expected);
    CHECK(members(archive::zip({})).empty());
    CHECK(members(archive::zip({{"empty/", ""}, {"empty/x", ""}})).size() == 2);
}

TEST_CASE("a file that is cut off anywhere is refused") {
    for (bool const zip64 : {false, true}) {
        std::string const file = archive::zip(two, {zip64, true, {}});
        for (std::size_t size = 0; size < file.size(); ++size)
            CHECK_MESSAGE(fault(file.substr(0, size)) != "nothing was thrown", size);
        for (std::size_t cut = 1; cut < file.size(); ++cut) // or without its beginning
            CHECK_MESSAGE(fault(file.substr(cut)) != "nothing was thrown", cut);
    }
    CHECK(contains(fault(""), "f: not a zip archive, or cut off"));
}

TEST_CASE("any byte changed is refused or harmless") {
    for (bool const zip64 : {false, true}) {
        std::string const file = archive::zip(two, {zip64, true, {}});
        for (std::size_t at = 0; at < file.size(); ++at)
            for (unsigned const flip : {0x01u, 0x80u, 0xFFu}) {
                std::string changed = file;
                changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ flip);
                std::size_t total = 0;
                try {
                    for (auto const& m : members(changed)) total += m.second.size();
                } catch (format_error const&) {}
                CHECK(total <= file.size());
            }
    }
}

TEST_CASE("compressed and encrypted members are refused with advice") {
    CHECK(contains(fault(archive::zip({{"x", "y", 8, 0}})),
                   "\"x\" is deflated; torch.save stores its files as they are"));
    CHECK(contains(fault(archive::zip({{"x", "y", 12, 0}})), "\"x\" is compressed (method 12)"));
    CHECK(contains(fault(archive::zip({{"x", "y", 0, 1}})), "\"x\" is encrypted"));
    CHECK(contains(fault(patched(archive::zip(two), local, 8, archive::number(8, 2))), "is deflated"));
}

TEST_CASE("lists that contradict the file") {
    std::string const file = archive::zip(two), large = archive::zip(two, {true, false, {}});
    auto const n = [](std::uint64_t value, std::size_t size) { return archive::number(value, size); };
    CHECK(contains(fault(patched(file, end_record, 8, n(9, 2) + n(9, 2))), "9 members do not fit into a list of"));
    CHECK(contains(fault(patched(file, end_record, 8, n(1, 2) + n(1, 2))), "is longer than its 1 entries"));
    CHECK(contains(fault(patched(file, end_record, 10, n(1, 2))), "one of several parts"));
    CHECK(contains(fault(patched(file, end_record, 4, n(1, 2))), "one of several parts"));
    CHECK(
        contains(fault(patched(file, end_record, 12, n(0xFFFFFFF0, 4))), "the list of members should fill the bytes"));
    CHECK(
        contains(fault(patched(file, end_record, 16, n(0xFFFFFFF0, 4))), "the list of members should fill the bytes"));
    CHECK(contains(fault(patched(large, zip64_end, 24, n(~0ull, 8) + n(~0ull, 8))), "members do not fit"));
    CHECK(contains(fault(patched(large, zip64_end, 40, n(~0ull, 8))), "the list of members should fill the bytes"));
    CHECK(contains(fault(patched(large, zip64_end, 48, n(~0ull, 8))), "the list of members should fill the bytes"));
    CHECK(contains(fault(patched(large, end_record, 10, n(5, 2))), "one of several parts"));
    CHECK(contains(fault(patched(large, end_record, 12, n(5, 4))), "where the old one says 5"));
    CHECK(contains(fault(patched(file, entry, 20, n(4, 4))), "is stored, but says 4 and 5 bytes"));
    CHECK(
        contains(fault(patched(file, entry, 20, n(99999, 4) + n(99999, 4))), "\"a/data.pkl\" should have 99999 bytes"));
    CHECK(contains(fault(patched(file, entry, 42, n(99999, 4))), "\"a/data.pkl\" should have 5 bytes at byte 99999"));
    CHECK(contains(fault(patched(file, entry, 42, n(1, 4))), "byte 1: \"a/data.pkl\" should begin here"));
    CHECK(contains(fault(patched(file, entry, 28, n(0xFFFF, 2))), "an entry of the list of members is cut off"));
    CHECK(contains(fault(patched(file, entry, 0, "xx", 1)), "an entry of the list of members should be here"));
    CHECK(contains(fault(patched(file, local, 30, "b", 1)), "\"a/data/0\" is called \"b/data/0\" here"));
    CHECK(contains(fault(patched(file, local, 26, n(0xFFFF, 2), 1)), "\"a/data/0\" should have 6 bytes"));
    CHECK(contains(fault(patched(large, entry, 46 + 10 + 2, n(8, 2))), "a zip64 field is cut off"));
    CHECK(contains(fault(patched(large, entry, 46 + 10 + 2, n(999, 2))), "an extra field is cut off"));
}

TEST_CASE("members that share bytes or a name") {
    CHECK(contains(fault(archive::zip({{"x", "1"}, {"x", "2"}})), "the name \"x\" occurs twice"));
    auto const overlapping = patched(archive::zip(two), entry, 20, archive::number(20, 4) + archive::number(20, 4));
    CHECK(contains(fault(overlapping), "\"a/data.pkl\" and \"a/data/0\" overlap"));
    std::string same = archive::zip({{"a", "1"}, {"b", "2"}});
    same = patched(same, entry, 42, archive::number(0, 4), 1); // both entries have the same local header
    CHECK(contains(fault(same), "\"b\" is called \"a\" here"));
}
