// SPDX-License-Identifier: Apache-2.0
// Writes a model's tensors in Hugging Face's form: one model.safetensors, or several shards with an index.
#pragma once

#include <llamavision/checkpoint/write/safetensors.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/replacement_file.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// How weights are divided among files. The initial value is transformers' own limit, 5 GB.
struct sharding {
    std::size_t bytes = 5'000'000'000; ///< the most bytes of tensors in a file, unless a single tensor has more
    std::size_t files = 0;             ///< if not 0, used instead: the number of files, of about the same size
};

/// The end of each shard, as ascending indices into `sizes`; the last is sizes.size(). No shard is empty.
[[nodiscard]] inline std::vector<std::size_t> shard_ends(std::span<std::size_t const> sizes, sharding split) {
    if (split.files == 0 && split.bytes == 0) throw argument_error("a shard must hold more than 0 bytes");
    std::size_t total = 0, used = 0, before = 0;
    for (std::size_t const size : sizes) total += size;
    std::vector<std::size_t> ends;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        std::size_t const files = ends.size() + 1; // with this one
        bool const full = split.files != 0 ? files < split.files && before >= total / split.files * files
                                           : used + sizes[i] > split.bytes;
        if (full && used != 0) {
            ends.push_back(i);
            used = 0;
        }
        used += sizes[i];
        before += sizes[i];
    }
    ends.push_back(sizes.size());
    return ends;
}

/// The name of a shard: "model-00002-of-00005.safetensors"; "model.safetensors" if it is the only one.
[[nodiscard]] inline std::string shard_name(std::size_t number, std::size_t of) {
    if (of == 1) return "model.safetensors";
    auto const five = [](std::size_t n) {
        std::string const digits = std::to_string(n);
        return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
    };
    return "model-" + five(number) + "-of-" + five(of) + ".safetensors";
}

/// Writes `tensors` in their order to the files of `folder` that `split` asks for, and then the index. `report` counts
/// bytes.
/// @throws like write_safetensors
inline void write_sharded(std::filesystem::path const& folder, std::span<tensor_to_write const> tensors,
                          sharding split = {}, progress const& report = {}) {
    std::vector<std::size_t> sizes;
    std::size_t total = 0;
    for (tensor_to_write const& t : tensors) {
        auto const size = bytes_of(t.shape, t.type);
        if (!size) throw argument_error("the tensor " + t.name + " is too large");
        sizes.push_back(*size);
        total += *size;
    }
    auto const ends = shard_ends(sizes, split);
    std::map<std::string, std::string> located;
    std::size_t begin = 0, done = 0;
    for (std::size_t shard = 0; shard < ends.size(); ++shard) {
        std::string const name = shard_name(shard + 1, ends.size());
        auto const here = tensors.subspan(begin, ends[shard] - begin);
        write_safetensors(folder / name, here, {{"format", "pt"}}, [&](std::size_t bytes, std::size_t) {
            if (report && done + bytes < total) report(done + bytes, total);
        });
        for (std::size_t i = begin; i < ends[shard]; ++i) {
            located.emplace(tensors[i].name, name);
            done += sizes[i];
        }
        begin = ends[shard];
    }
    if (located.size() != tensors.size())
        throw argument_error("two tensors of one name cannot be written to one folder");
    if (ends.size() > 1) {
        nlohmann::ordered_json index;
        index["metadata"]["total_size"] = total;
        index["weight_map"] = located;
        write_text_file(folder / "model.safetensors.index.json", index.dump(2) + "\n");
    }
    if (report) report(total, total);
}

} // namespace llamavision::checkpoint
