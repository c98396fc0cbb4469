// SPDX-License-Identifier: Apache-2.0
// The golden models as GGUF files: in every dialect the very numbers of the Hugging Face folder, and of blocks the
// numbers of their dequantised values.
#include "golden.hpp"

#include <cmath>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/encoding/widen.hpp>
#include <llamavision/checkpoint/form/gguf/mapping.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>

#include "../checkpoint/temporary_folder.hpp"

namespace lv = llamavision;
namespace cp = llamavision::checkpoint;
using golden::floats;

namespace {

using opener = golden::network_ptr (*)(std::filesystem::path const&, golden::kernels);

/// The logits of a picture and a few tokens.
floats logits(golden::shape const& shape, golden::network_ptr const& network) {
    std::vector<lv::token> ids(9, 7);
    ids[1] = static_cast<lv::token>(network->numbers().text.vocabulary);
    lv::session s(network, {64, 5, lv::parity::usual});
    std::vector<lv::session::image_ptr> const pictures{network->encode(shape.tiles("1x2"), {})};
    s.append(ids, pictures);
    return {s.logits().begin(), s.logits().end()};
}

/// The folder's model as a GGUF file of that dialect. A folder with the small files beside it is not needed.
void write(std::filesystem::path const& path, std::string const& name, cp::gguf_dialect dialect) {
    auto const read = cp::open(std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden" / name / "hf");
    cp::write_gguf(path, cp::hugging_face_to_gguf(read.tensors, *read.model, dialect));
}

/// Random blocks of `type` in place of a tensor's values: every bit of quants, scales of a size that models have.
cp::tensor random_blocks(cp::tensor const& like, cp::dtype type, unsigned seed) {
    std::vector<std::byte> bytes(cp::bytes_of(type, cp::values_of(like)));
    std::mt19937 random(seed);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 255u);
    std::size_t const size = cp::block_of(type).bytes;
    bool const minimum = type == cp::dtype::q4_1 || type == cp::dtype::q5_1;
    for (std::size_t at = 0; at < bytes.size(); at += size)
        for (std::size_t half = 0; half < (minimum ? 4u : 2u); half += 2) {
            float const value = (static_cast<float>(random() & 255u) - 128) * (type == cp::dtype::q8_0 ? 1e-5f : 1e-4f);
            lv::f16 const scale = lv::f16::round(value);
            std::memcpy(&bytes[at + half], &scale, 2);
        }
    return {
        type, like.shape, {}, [bytes](std::span<std::byte> to) { std::memcpy(to.data(), bytes.data(), to.size()); }};
}

} // namespace

TEST_CASE("every dialect gives the Hugging Face folder's logits, to the bit") {
    for (auto const& [name, open] : {std::pair<char const*, opener>{"g1", golden::open_g1}, {"p1", golden::open_p1}}) {
        std::string const model = name;
        CAPTURE(model);
        golden::shape const shape(model, open, golden::kernels::simd);
        floats const expected = logits(shape, shape.network());
        REQUIRE(expected.size() >= 300);
        for (auto const dialect : {cp::gguf_dialect::llamavision, cp::gguf_dialect::ollama}) {
            temporary_folder const folder;
            write(folder.path() / "x.gguf", model, dialect);
            CAPTURE(cp::name_of(dialect));
            CHECK(logits(shape, open(folder.path() / "x.gguf", golden::kernels::simd)) == expected);
        }
    }
}

TEST_CASE("blocks give the logits of their dequantised values") {
    golden::shape const shape("g1", golden::open_g1, golden::kernels::simd);
    auto const hf = std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden/g1/hf";
    auto const plain = cp::open(hf);
    for (auto const type : {cp::dtype::q4_1, cp::dtype::q5_0, cp::dtype::q5_1, cp::dtype::q8_0, cp::dtype::q4_0}) {
        CAPTURE(cp::name_of(type));
        cp::named_tensors quantised = plain.tensors;
        unsigned count = 0;
        for (auto& [name, t] : quantised.tensors)
            if (name.starts_with("language_model.") && t.shape.size() == 2 && t.shape[1] % 32 == 0)
                t = random_blocks(t, type, ++count);
        CHECK(count > 20);
        temporary_folder const folder;
        cp::write_gguf(folder.path() / "x.gguf",
                       cp::hugging_face_to_gguf(quantised, *plain.model, cp::gguf_dialect::ollama));

        std::filesystem::create_directory(folder.path() / "hf");
        for (char const* const file : {"config.json", "generation_config.json", "preprocessor_config.json"})
            std::filesystem::copy(hf / file, folder.path() / "hf" / file);
        std::vector<cp::tensor_to_write> dequantised;
        std::vector<std::vector<std::byte>> rooms(quantised.tensors.size());
        for (auto const& [name, t] : quantised.tensors) {
            auto const bytes = cp::bytes_of(cp::retyped(t, cp::dtype::f32), rooms[dequantised.size()]);
            dequantised.push_back({name, cp::dtype::f32, t.shape, bytes});
        }
        cp::write_safetensors(folder.path() / "hf/model.safetensors", dequantised);

        floats const is = logits(shape, golden::open_g1(folder.path() / "x.gguf", golden::kernels::scalar));
        floats const wanted = logits(shape, golden::open_g1(folder.path() / "hf", golden::kernels::scalar));
        golden::distance d;
        for (std::size_t i = 0; i < wanted.size(); ++i) d.add(is[i], wanted[i]);
        CHECK(d.largest > 0);
        CHECK(d.relative() < 2e-5);
    }
}
