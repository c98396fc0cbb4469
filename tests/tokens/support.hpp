// SPDX-License-Identifier: Apache-2.0
// For the tests of this room: vectors, a folder for temporary files, a small vocabulary, SHA-256.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <llamavision/tokens/pretokenize.hpp>
#include <llamavision/tokens/special_tokens.hpp>
#include <llamavision/tokens/tokenizer.hpp>
#include <llamavision/tokens/unicode.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tokens_test {

using llamavision::token;
using llamavision::tokens::tokenizer;
using json = nlohmann::ordered_json;

inline json load_json(char const* name) {
    std::ifstream in(std::string(LLAMAVISION_TEST_DATA) + "/tokens/" + name);
    REQUIRE(in);
    return json::parse(in);
}

/// A folder that is removed with the object.
class scratch_folder {
  public:
    scratch_folder() {
        std::random_device seed;
        path_ = std::filesystem::temp_directory_path() / ("llamavision-tokens-" + std::to_string(seed()));
        std::filesystem::create_directories(path_);
    }
    ~scratch_folder() { std::filesystem::remove_all(path_); }
    scratch_folder(scratch_folder const&) = delete;
    scratch_folder& operator=(scratch_folder const&) = delete;

    std::filesystem::path write(std::string const& name, std::string_view text) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary) << text;
        return path_ / name;
    }
    std::filesystem::path const& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

inline std::string base64(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 3; ++k)
            group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        for (unsigned k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : digits[group >> (18 - 6 * k) & 63u];
    }
    return out;
}

/// Tokens in order of rank in tiktoken's format.
inline std::string tiktoken_text(std::vector<std::string> const& all_tokens) {
    std::string text;
    for (std::size_t i = 0; i < all_tokens.size(); ++i) text += base64(all_tokens[i]) + ' ' + std::to_string(i) + '\n';
    return text;
}

/// Tokens in GPT-2's printable alphabet.
inline std::string printable(std::string_view bytes) {
    std::string out;
    for (char const c : bytes) {
        auto const byte = static_cast<unsigned char>(c);
        char32_t code = byte;
        if (byte <= 32)
            code = 0x100u + byte;
        else if (byte >= 127 && byte <= 160)
            code = 0x121u + (byte - 127u);
        else if (byte == 173)
            code = 0x143;
        llamavision::tokens::append_utf8(out, code);
    }
    return out;
}

/// All pairs of tokens whose concatenation is a token, by its rank, in both spellings of tokenizer.json: a string, or a
/// pair.
inline json merges_of(std::vector<std::string> const& all_tokens) {
    std::set<std::string> const all(all_tokens.begin(), all_tokens.end());
    json merges = json::array();
    for (std::string const& one : all_tokens)
        for (std::size_t i = 1; i < one.size(); ++i) {
            std::string const left = one.substr(0, i), right = one.substr(i);
            if (!all.contains(left) || !all.contains(right)) continue;
            if (merges.size() % 2 == 0)
                merges.push_back(printable(left) + " " + printable(right));
            else
                merges.push_back({printable(left), printable(right)});
        }
    return merges;
}

/// The tokenizer.json that transformers' converter would write.
inline json hugging_face(std::vector<std::string> const& all_tokens) {
    json vocab = json::object(), added = json::array();
    auto& inside = vocab.get_ref<json::object_t&>();
    for (std::size_t i = 0; i < all_tokens.size(); ++i) inside.emplace_back(printable(all_tokens[i]), i);
    auto names = llamavision::tokens::meta_special_names();
    names.erase(names.begin() + 11);
    names.insert(names.end(), {"<|reserved_special_token_246|>", "<|image|>"});
    for (std::size_t i = 0; i < names.size(); ++i)
        added.push_back({{"id", all_tokens.size() + i}, {"content", names[i]}, {"special", true}});
    json split{{"type", "Split"}, {"pattern", {{"Regex", llamavision::tokens::llama3_pattern}}}};
    json level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
    json steps{{"type", "Sequence"}};
    steps["pretokenizers"] = json::array({split, level});
    json model{{"type", "BPE"}, {"ignore_merges", true}};
    model["vocab"] = std::move(vocab);
    model["merges"] = merges_of(all_tokens);
    json root{{"version", "1.0"}, {"normalizer", nullptr}};
    root["added_tokens"] = std::move(added);
    root["pre_tokenizer"] = std::move(steps);
    root["model"] = std::move(model);
    return root;
}

/// All bytes and some longer tokens; merging never leads to " quiz" and "zzz".
inline std::vector<std::string> small_tokens() {
    std::vector<std::string> all_tokens;
    for (unsigned i = 0; i < 256; ++i) all_tokens.emplace_back(1, static_cast<char>(static_cast<unsigned char>(i * 7)));
    for (char const* word :
         {"he", "th",   "in",  "the", " t",     " the", "er",        "re",   "on",       "an",       "\n\n",  "  ",
          "us", "user", "as",  "st",  "assist", "ant",  "assistant", "sy",   "system",   "ip",       "aa",    "aaaa",
          "ab", "ba",   "bab", "ca",  "c3",     "00",   "000",       "  \n", "\xC3\xA9", "\xF0\x9F", " quiz", "zzz"})
        all_tokens.emplace_back(word);
    return all_tokens;
}

inline tokenizer small_tokenizer() {
    scratch_folder folder;
    return tokenizer::open(folder.write("tokenizer.model", tiktoken_text(small_tokens())));
}

/// The file named by LLAMAVISION_TOKENIZER_MODEL; empty, with a message, if the variable is not set.
inline std::filesystem::path real_model() {
    char const* const path = std::getenv("LLAMAVISION_TOKENIZER_MODEL");
    if (path && *path) return path;
    MESSAGE("skipped: LLAMAVISION_TOKENIZER_MODEL does not name the real tokenizer.model");
    return {};
}

/// The tokens of a tokenizer in order of rank.
inline std::vector<std::string> tokens_of(tokenizer const& t) {
    std::vector<std::string> all_tokens;
    for (token i = 0; i < t.ordinary(); ++i) all_tokens.emplace_back(t.bytes(i));
    return all_tokens;
}

inline std::string from_hex(std::string_view hex) {
    std::string out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    return out;
}

/// SHA-256 of the ids as little-endian 32-bit words, in hex.
inline std::string sha256(std::span<token const> ids) {
    std::vector<std::uint8_t> data;
    for (auto const id : ids)
        for (unsigned k = 0; k < 4; ++k)
            data.push_back(static_cast<std::uint8_t>(static_cast<std::uint32_t>(id) >> 8 * k));
    std::uint64_t const bits = data.size() * 8;
    data.push_back(0x80);
    while (data.size() % 64 != 56) data.push_back(0);
    for (unsigned k = 0; k < 8; ++k) data.push_back(static_cast<std::uint8_t>(bits >> (56 - 8 * k)));
    // The constants are the first 32 fractional bits of the roots of the first 64 primes.
    std::array<std::uint32_t, 64> constants{};
    std::array<std::uint32_t, 8> state{};
    for (unsigned n = 2, found = 0; found < 64; ++n) {
        bool prime = true;
        for (unsigned d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
        if (!prime) continue;
        auto const fraction = [](long double root) {
            return static_cast<std::uint32_t>((root - std::floor(root)) * 4294967296.0L);
        };
        if (found < 8) state[found] = fraction(std::sqrt(static_cast<long double>(n)));
        constants[found++] = fraction(std::cbrt(static_cast<long double>(n)));
    }
    for (std::size_t block = 0; block < data.size(); block += 64) {
        std::array<std::uint32_t, 64> w{};
        for (std::size_t i = 0; i < 64; ++i) {
            if (i < 16) {
                for (std::size_t k = 0; k < 4; ++k) w[i] = w[i] << 8 | data[block + 4 * i + k];
                continue;
            }
            auto const a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[i - 7]
                   + (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
        }
        auto s = state;
        for (std::size_t i = 0; i < 64; ++i) {
            auto const e = s[4], a = s[0];
            auto const one = s[7] + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & s[5]) ^ (~e & s[6]))
                             + constants[i] + w[i];
            auto const two =
                (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
            s = {one + two, s[0], s[1], s[2], s[3] + one, s[4], s[5], s[6]};
        }
        for (std::size_t i = 0; i < 8; ++i) state[i] += s[i];
    }
    std::string hex;
    for (auto const word : state)
        for (unsigned k = 0; k < 8; ++k) hex += "0123456789abcdef"[word >> (28 - 4 * k) & 15u];
    return hex;
}

} // namespace tokens_test
