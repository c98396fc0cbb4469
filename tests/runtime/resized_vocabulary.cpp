// SPDX-License-Identifier: Apache-2.0
// Checkpoints whose fine-tuning added tokens (transformers: resize_token_embeddings): the embedding and the head have
// as many rows as the file says, and what the model knew before it computes as before.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>
#include <llamavision/config/tiny.hpp>
#include <llamavision/runtime/conversation/chat.hpp>
#include <llamavision/runtime/load.hpp>

#include "../checkpoint/temporary_folder.hpp"
#include "../support/message.hpp"

using namespace llamavision;
namespace fs = std::filesystem;

namespace {

fs::path const tiny_folder = LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint";
constexpr std::size_t vocabulary = 768; // and the image's id
constexpr char const* embedding = "language_model.model.embed_tokens.weight";
constexpr char const* head = "language_model.lm_head.weight";

/// The rows of a matrix, cut or extended to `rows` by copies of the row `like`, each value multiplied by `factor`.
std::vector<std::byte> with_rows(checkpoint::tensor const& t, std::size_t rows, std::size_t like, bool negated) {
    std::size_t const row = t.bytes.size() / t.shape[0];
    std::vector<std::byte> bytes(t.bytes.begin(),
                                 t.bytes.begin() + static_cast<std::ptrdiff_t>(row * std::min(rows, t.shape[0])));
    while (bytes.size() < rows * row) {
        bytes.insert(bytes.end(), t.bytes.begin() + static_cast<std::ptrdiff_t>(like * row),
                     t.bytes.begin() + static_cast<std::ptrdiff_t>((like + 1) * row));
        if (!negated) continue;
        for (std::size_t i = bytes.size() - row + 1; i < bytes.size(); i += 2)
            bytes[i] ^= std::byte{0x80}; // bf16's sign
    }
    return bytes;
}

/// The bundled model with so many rows.
void write_resized(fs::path const& folder, std::size_t of_embedding, std::size_t of_head, bool negated = false) {
    fs::copy(tiny_folder, folder, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    auto const source = checkpoint::read_safetensors(tiny_folder / "model.safetensors");
    REQUIRE(source.tensors.at(head).type == checkpoint::dtype::bf16);
    std::vector<checkpoint::tensor_to_write> tensors;
    std::vector<std::byte> const words = with_rows(source.tensors.at(embedding), of_embedding, 5, false),
                                 logits = with_rows(source.tensors.at(head), of_head, 5, negated);
    for (auto const& [name, t] : source.tensors) {
        if (name == embedding)
            tensors.push_back({name, t.type, {of_embedding, t.shape[1]}, words});
        else if (name == head)
            tensors.push_back({name, t.type, {of_head, t.shape[1]}, logits});
        else
            tensors.push_back({name, t.type, t.shape, t.bytes});
    }
    checkpoint::write_safetensors(folder / "model.safetensors", tensors);
    auto config = nlohmann::json::parse(text_of_file(tiny_folder / "config.json"));
    config["text_config"]["vocab_size"] = of_head;
    std::ofstream(folder / "config.json", std::ios::trunc) << config.dump();
}

template <class B = simd>
model opened(fs::path const& folder, load_options options = {}) {
    options.threads = 2;
    return load<tiny, B>(folder, options);
}

std::vector<float> logits_of(model const& m) {
    std::vector<token> const ids{m.tokenizer().bos(), 5, 60, 7};
    session s = m.open_session();
    s.append(ids);
    auto const all = s.logits();
    return {all.begin(), all.end()};
}

std::string answer_of(model const& m) { return m.chat().ask("How many shapes are there?").text(); }

} // namespace

TEST_CASE("added tokens have logits, and those of the others stay as they were") {
    model const before = opened<scalar>(tiny_folder);
    auto const wanted = logits_of(before);
    REQUIRE(wanted.size() == vocabulary);
    for (std::size_t const rows : {769, 771, 776, 900}) {
        CAPTURE(rows);
        temporary_folder const folder;
        write_resized(folder.path(), rows, rows);
        model const m = opened<scalar>(folder.path());
        CHECK(m.net().tokens().embedding == rows);
        CHECK(m.net().tokens().head == rows);
        auto const logits = logits_of(m);
        REQUIRE(logits.size() == rows);
        CHECK(std::vector(logits.begin(), logits.begin() + vocabulary) == wanted);
        for (std::size_t i = vocabulary; i < rows; ++i) CHECK(logits[i] == logits[5]);
        CHECK(m.net().plan(16).logits == 2 * rows * sizeof(float));
        if (rows > vocabulary + 1) { // a token that was added can be read: its row is that of 5
            session s = m.open_session();
            s.append(std::vector<token>{m.tokenizer().bos(), static_cast<token>(rows - 1), 60, 7});
            if (rows > vocabulary + config::extra_tokens)
                CHECK(std::vector(s.logits().begin(), s.logits().end()) == logits);
        }
        session s = m.open_session();
        CHECK_THROWS_AS(s.append(std::vector<token>{static_cast<token>(rows)}), argument_error);
    }
}

TEST_CASE("answers are the same, in every format, and rows that are no token's are never chosen") {
    std::string const wanted = answer_of(opened(tiny_folder));
    temporary_folder const folder;
    write_resized(folder.path(), 832, 832); // padded to a multiple of 64; the tokenizer knows none of them
    for (weight_format const format : {weight_format::stored, weight_format::bf16, weight_format::q8}) {
        load_options options;
        options.weights.head = format;
        if (format != weight_format::q8) CHECK(answer_of(opened(folder.path(), options)) == wanted);
        options.packed = folder.path() / "packed";
        std::string const packed = answer_of(opened(folder.path(), options));
        CHECK(answer_of(opened(folder.path(), options)) == packed);
        fs::remove(options.packed);
    }
    // Rows whose logits are the highest of all, often.
    write_resized(folder.path(), 832, 832, true);
    chat c = opened(folder.path()).chat();
    answer const a = c.ask("How many shapes are there?");
    static_cast<void>(a.text());
    for (token const id : a.ids()) CHECK(id <= static_cast<token>(vocabulary));
}

TEST_CASE("tables that do not fit together are refused by name") {
    temporary_folder const folder;
    auto const said = [&](std::size_t of_embedding, std::size_t of_head) {
        write_resized(folder.path(), of_embedding, of_head);
        return message_of<mismatch_error>([&] { return opened(folder.path()); });
    };
    CHECK(contains(said(780, 771), "embed_tokens.weight is [780, "));
    CHECK(contains(said(776, 771), "lm_head.weight is [771, "));
    CHECK(contains(said(768, 768), "embed_tokens.weight is [768, ")); // no row for the image
    write_resized(folder.path(), 700, 700);
    CHECK(contains(message_of<format_error>([&] { return opened(folder.path()); }),
                   "image_token_index 768 is beyond the embedding's 708 rows"));
}
