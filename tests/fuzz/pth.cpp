// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of torch.save, as a pickle alone, and as a checkpoint in Meta's form: refused with an error of
// the library, or read with tensors inside of the bytes that can be made.
#include <llamavision/checkpoint/container/pth.hpp>
#include <llamavision/checkpoint/form/meta/fit.hpp>
#include <llamavision/checkpoint/form/meta/mapping.hpp>
#include <llamavision/checkpoint/form/meta/shards.hpp>

#include "attempt.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

using namespace llamavision;
using namespace llamavision::checkpoint;

/// The numbers of the model in tests/data/meta, which is among the seeds.
checkpoint::model_config model() {
    checkpoint::model_config result;
    result.values.vision = {16, 64, 4, 1, 1, 14, 7, 3, 4, {0}, config::all_arrangements(4), 1e-5};
    auto& t = result.values.text;
    t.width = 16;
    t.mlp = 48;
    t.heads = t.kv_heads = 8;
    t.layers = 3;
    t.cross_layers = {1};
    t.vocabulary = 264;
    return result;
}

/// The same numbers for a text model.
checkpoint::model_config text_model() {
    auto result = model();
    result.values.kind = config::family::llama;
    result.values.vision = {};
    result.values.text.cross_layers.clear();
    return result;
}

void make_all(named_tensors const& all, std::size_t limit) {
    std::vector<std::byte> room;
    for (auto const& [name, value] : all.tensors) {
        if (size_in_bytes(value) > limit) std::abort();
        std::size_t sum = 0;
        for (std::byte const b : bytes_of(value, room)) sum += std::to_integer<std::size_t>(b);
        volatile std::size_t const read = sum; // reads every byte
        static_cast<void>(read);
    }
}

} // namespace

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const bytes = std::as_bytes(std::span(data, size));
    attempt([&] { static_cast<void>(read_pickle(bytes, "input")); });
    attempt([&] {
        auto const all = parse_pth(bytes, "input");
        make_all(all, size);
        for (auto const& numbers : {model(), text_model()}) {
            attempt([&] { make_all(meta_to_hugging_face(all, numbers.values), 8 * size); });
            attempt([&] {
                auto const whole = hugging_face_to_meta(all, numbers.values);
                make_all(shard_of(whole, 1, 2), 3 * size); // a tied head is stored twice
            });
            attempt([&] {
                auto fitted = numbers;
                fit_to_tensors(fitted, all, 1, "input");
                make_all(meta_to_hugging_face(all, fitted.values), 8 * size);
            });
        }
        attempt([&] {
            auto const merged = merge_shards({{"a", all}, {"b", all}});
            make_all(merged, 2 * size);
            auto numbers = model();
            fit_to_tensors(numbers, merged, 2, "input");
        });
    });
    return 0;
}
