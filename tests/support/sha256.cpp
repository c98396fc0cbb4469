// SPDX-License-Identifier: Apache-2.0
// SHA-256 against the vectors of FIPS 180-4 and of NIST's CAVP, in one piece and in many.
#include <llamavision/support/sha256.hpp>

#include <doctest/doctest.h>
#include <string>
#include <string_view>

namespace {
std::string digest(std::string_view text) {
    return llamavision::sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}
} // namespace

TEST_CASE("SHA-256 of NIST's messages") {
    CHECK(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(digest("\xbd") == "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b");
    CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
          == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(digest("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmno"
                 "pqrstnopqrstu")
          == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    CHECK(digest(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the message is cut") {
    std::string text;
    for (int i = 0; i < 300; ++i) text.push_back(static_cast<char>('a' + i * i % 26));
    for (std::size_t length = 0; length <= text.size(); ++length)
        for (std::size_t const piece : {1U, 7U, 63U, 64U, 65U, 200U}) {
            llamavision::sha256 pieces;
            for (std::size_t at = 0; at < length; at += piece)
                pieces.update(std::as_bytes(std::span(text.data() + at, std::min(piece, length - at))));
            CHECK(pieces.hex() == digest(std::string_view(text).substr(0, length)));
        }
}
