// SPDX-License-Identifier: Apache-2.0
// Mapping files, and refusing what is not a regular file.
#include <llamavision/checkpoint/container/mapped_file.hpp>
#include <llamavision/support/text_file.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"

#include <doctest/doctest.h>
#include <string>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#include <unistd.h>
#endif

using namespace llamavision;
using namespace llamavision::checkpoint;

TEST_CASE("a mapped file is the file's bytes") {
    temporary_folder const folder;
    std::string const text = std::string(100'000, 'a') + "z";
    auto const file = mapped_file::open(folder.write("f", text));
    REQUIRE(file->size() == text.size());
    CHECK(std::string(reinterpret_cast<char const*>(file->bytes().data()), file->size()) == text);
    for (auto const how : {access::sequential, access::random, access::soon, access::no_more, access::normal}) {
        file->advise(file->bytes(), how);
        file->advise(file->bytes().subspan(4097, 11), how);
        file->advise({}, how);
    }
    CHECK(file->bytes().back() == std::byte{'z'}); // advice changes nothing
}

TEST_CASE("what cannot be mapped says why, with its name") {
    temporary_folder const folder;
    auto const fault = [](std::filesystem::path const& path) {
        return message_of<file_error>([&] { return mapped_file::open(path); });
    };
    CHECK(fault(folder.path() / "none") == (folder.path() / "none").string() + ": no such file");
    CHECK(contains(fault(folder.path()), "is a folder, not a file"));
    CHECK(contains(fault(folder.write("empty", "")), "empty: is empty"));
    CHECK(contains(fault(folder.write("file", "x") / "below"), "file/below: "));
#if defined(__unix__) || defined(__APPLE__)
    auto const fifo = folder.path() / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    CHECK(contains(fault(fifo), "fifo: is not a regular file")); // without waiting for a writer
    CHECK(contains(fault("/dev/null"), "is not a regular file"));
    CHECK(contains(message_of<file_error>([&] { return read_text_file(fifo, 100); }), "is not a regular file"));
    if (::geteuid() != 0) {
        auto const secret = folder.write("secret", "x");
        ::chmod(secret.c_str(), 0);
        CHECK(contains(fault(secret), "secret: cannot be opened"));
    }
#endif
}
