// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of torch.save, as a pickle alone, and as the list of a checkpoint in Meta's form: read with an
// error of the library, or with tensors that lie inside the bytes and can be made.
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

void make_all(named_tensors const& all, std::size_t limit) {
    std::vector<std::byte> room;
    for (auto const& [name, value] : all.tensors) {
        if (size_in_bytes(value) > limit) std::abort();
        std::size_t sum = 0;
        for (std::byte const b : bytes_of(value, room)) sum += std::to_integer<std::size_t>(b);
        volatile std::size_t const read = sum; // every byte is there
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
        attempt([&] { make_all(meta_to_hugging_face(all, model().values), 8 * size); });
        attempt([&] {
            auto const merged = merge_shards({{"a", all}, {"b", all}});
            make_all(merged, 2 * size);
            auto numbers = model();
            fit_to_tensors(numbers, merged, 2, "input");
        });
        attempt([&] {
            auto numbers = model();
            fit_to_tensors(numbers, all, 1, "input");
            make_all(meta_to_hugging_face(all, numbers.values), 8 * size);
        });
        attempt([&] {
            auto const whole = hugging_face_to_meta(all, model().values);
            make_all(shard_of(whole, 1, 2), 2 * size);
        });
    });
    return 0;
}
