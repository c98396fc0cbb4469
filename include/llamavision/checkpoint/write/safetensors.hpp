// SPDX-License-Identifier: Apache-2.0
// Writes the safetensors format. The same tensors always give the same bytes. If writing fails, the old file stays.
#pragma once

#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/checkpoint/encoding/convert.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/replacement_file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// A tensor to be written: row-major, little-endian, product(shape) * size_of(type) bytes. The bytes are `bytes`, or if
/// `write_bytes` is set, what it hands to its sink when the tensor is written.
struct tensor_to_write {
    std::string name;
    dtype type = dtype::f32;
    std::vector<std::size_t> shape;
    std::span<std::byte const> bytes;
    std::function<void(byte_sink const&)> write_bytes{};
};

/// The tensor `source` as `type`, under `name`. `lost` counts the values that rounding changes. `source` and `lost`
/// must outlive the result.
[[nodiscard]] inline tensor_to_write converted(std::string name, tensor const& source, dtype type, rounding& lost) {
    return {std::move(name), type, source.shape, {}, [&source, type, &lost](byte_sink const& sink) {
                checkpoint::convert(source, type, sink, lost);
            }};
}

namespace detail {

[[nodiscard]] inline std::string safetensors_header(std::span<tensor_to_write const* const> tensors,
                                                    std::map<std::string, std::string> const& metadata) {
    auto header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::size_t offset = 0;
    for (tensor_to_write const* const t : tensors) {
        if (t->name == "__metadata__" || header.contains(t->name))
            throw argument_error("two tensors named " + in_quotes(t->name) + " cannot be written to one file");
        auto const size = bytes_of(t->shape, t->type);
        if (!size || (!t->write_bytes && *size != t->bytes.size()))
            throw argument_error("the tensor " + in_quotes(t->name) + " has " + std::to_string(t->bytes.size())
                                 + " bytes, which its shape and type contradict");
        header[t->name] = {
            {"dtype", name_of(t->type)}, {"shape", t->shape}, {"data_offsets", {offset, offset + *size}}};
        offset += *size;
    }
    try {
        return header.dump();
    } catch (nlohmann::json::exception const&) {
        throw argument_error("a tensor's name or the metadata is not valid UTF-8");
    }
}

/// Writes one tensor's bytes. Reports progress of `total` bytes, of which `done` were written before.
inline void write_tensor(byte_sink const& file, tensor_to_write const& t, std::size_t done, std::size_t total,
                         progress const& report) {
    std::size_t const size = *bytes_of(t.shape, t.type);
    std::size_t written = 0;
    byte_sink const sink = [&](std::span<std::byte const> piece) {
        if (piece.size() > size - written)
            throw argument_error("the tensor " + in_quotes(t.name) + " has too many bytes");
        file(piece);
        written += piece.size();
        if (report && done + written < total) report(done + written, total);
    };
    if (t.write_bytes) {
        t.write_bytes(sink);
    } else {
        sink(t.bytes);
    }
    if (written != size)
        throw argument_error("the tensor " + in_quotes(t.name) + " has " + std::to_string(written) + " bytes, not "
                             + std::to_string(size));
}

} // namespace detail

/// Writes `tensors` and `metadata` to a file beside `path`, and renames it to `path` when it is complete. Tensors are
/// sorted by size of a value, the widest first, then by name; with a header padded to a multiple of 8 bytes, every
/// tensor is aligned to its values. `report` counts bytes.
/// @throws file_error, argument_error for duplicate names or bytes that contradict a shape, and what `write_bytes`
///         throws
inline void write_safetensors(std::filesystem::path const& path, std::span<tensor_to_write const> tensors,
                              std::map<std::string, std::string> const& metadata = {}, progress const& report = {}) {
    std::vector<tensor_to_write const*> order;
    for (tensor_to_write const& t : tensors) order.push_back(&t);
    std::sort(order.begin(), order.end(), [](tensor_to_write const* a, tensor_to_write const* b) {
        return std::pair(size_of(b->type), std::string_view(a->name))
               < std::pair(size_of(a->type), std::string_view(b->name));
    });
    std::string header = detail::safetensors_header(order, metadata);
    header.resize(round_up(header.size(), 8), ' ');
    if (header.size() > safetensors_header_limit) throw argument_error("too many tensors for one safetensors file");
    std::string length;
    for (std::size_t i = 0; i < 8; ++i)
        length += static_cast<char>(static_cast<unsigned char>(std::uint64_t{header.size()} >> (8 * i)));

    std::size_t done = 0, total = 0;
    for (tensor_to_write const* const t : order) total += *bytes_of(t->shape, t->type);
    replacement_file file(path);
    file.write(length);
    file.write(header);
    for (tensor_to_write const* const t : order) {
        detail::write_tensor([&](std::span<std::byte const> piece) { file.write(piece); }, *t, done, total, report);
        done += *bytes_of(t->shape, t->type);
    }
    file.commit();
    if (report) report(total, total);
}

} // namespace llamavision::checkpoint
