// SPDX-License-Identifier: Apache-2.0
// Any bytes as a tokenizer.json or tokenizer.model: refused with an error of the library, or a vocabulary that survives
// being written and read again.
#include <llamavision/tokens/tokenizer_file.hpp>
#include <llamavision/tokens/write_tokenizer.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace llamavision::tokens;
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    try {
        auto const read =
            text.starts_with('{') ? detail::read_tokenizer_json(text, "input") : detail::read_tiktoken(text, "input");
        auto const again = detail::read_tiktoken(tokenizer_model_text(read.vocabulary), "again");
        if (again.vocabulary.size() != read.vocabulary.size()) std::abort();
        for (vocabulary::rank r = 0; r < read.vocabulary.size(); ++r)
            if (again.vocabulary[r] != read.vocabulary[r] || again.vocabulary.find(read.vocabulary[r]) != r)
                std::abort();
        auto const json =
            detail::read_tokenizer_json(tokenizer_json_text(read.vocabulary, hugging_face_special_names()), "json");
        if (json.vocabulary.size() != read.vocabulary.size()) std::abort();
    } catch (llamavision::error const&) {
        return 0; // what a hostile file is for
    }
    return 0;
}
