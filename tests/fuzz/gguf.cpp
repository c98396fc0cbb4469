// SPDX-License-Identifier: Apache-2.0
// Any bytes as a GGUF file: refused with an error of the library, or read with values and tensors inside of the bytes,
// and then converted as a model of each dialect.
#include <llamavision/checkpoint/container/gguf.hpp>
#include <llamavision/checkpoint/encoding/widen.hpp>
#include <llamavision/checkpoint/form/gguf/checkpoint.hpp>
#include <llamavision/checkpoint/form/gguf/mapping.hpp>
#include <llamavision/tokens/tokenizer_lists.hpp>

#include "attempt.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

namespace {

using namespace llamavision;
using namespace llamavision::checkpoint;

void check(gguf_content const& read, std::span<std::byte const> bytes) {
    for (auto const& [key, value] : read.keys) {
        attempt([&v = value] { static_cast<void>(v.natural()); });
        attempt([&v = value] { static_cast<void>(v.number()); });
        attempt([&v = value] { static_cast<void>(v.text()); });
        attempt([&v = value] { static_cast<void>(v.texts()); });
        attempt([&v = value] { static_cast<void>(v.naturals(1000)); });
    }
    for (auto const& [name, tensor] : read.content.tensors) {
        if (tensor.bytes.size() != size_in_bytes(tensor)) std::abort();
        if (!tensor.bytes.empty()
            && (tensor.bytes.data() < bytes.data()
                || tensor.bytes.data() + tensor.bytes.size() > bytes.data() + bytes.size()))
            std::abort();
    }
}

/// Reads the model, and makes what has to be made.
void read_model(gguf_content const& read, gguf_dialect dialect) {
    auto const model = read_gguf_config(read, nullptr, "input");
    auto tensors = gguf_to_hugging_face(read, nullptr, model.values, dialect, "input");
    widen_blocks(tensors, dtype::f16);
    std::vector<std::byte> room;
    for (auto const& [name, tensor] : tensors.tensors)
        if (bytes_of(tensor, room).size() != size_in_bytes(tensor)) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const bytes = std::as_bytes(std::span(data, size));
    attempt([&] {
        auto const read = parse_gguf(bytes, "input");
        check(read, bytes);
        for (auto const dialect :
             {gguf_dialect::llamavision, gguf_dialect::ollama, gguf_dialect::pair, gguf_dialect::llama_cpp})
            attempt([&] { read_model(read, dialect); });
        description said;
        attempt([&] { checkpoint::detail::read_own_files(said, read); });
        if (!read.find("tokenizer.ggml.tokens")) return;
        attempt([&] { checkpoint::detail::read_gguf_tokenizer(said, read); });
        attempt([&] {
            static_cast<void>(tokens::tokenizer_from_lists(said.tokenizer.tokens, said.tokenizer.types,
                                                           said.tokenizer.merges, "input"));
        });
    });
    return 0;
}
