// SPDX-License-Identifier: Apache-2.0
// Writes the safetensors format: the same tensors give the same bytes, and a fault leaves the old file or none.
#pragma once

#include <llamavision/checkpoint/safetensors.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// A tensor to be written; `bytes` are row-major, little-endian, product(shape) * size_of(type) of them.
struct tensor_to_write {
    std::string name;
    dtype type = dtype::f32;
    std::vector<std::size_t> shape;
    std::span<std::byte const> bytes;
};

namespace detail {

/// Opens a new file beside `path`; `commit` moves it there, and without that it vanishes.
class replacement_file {
  public:
    explicit replacement_file(std::filesystem::path const& path) {
        std::error_code fault;
        auto const status = std::filesystem::status(path, fault);
        if (std::filesystem::is_directory(status)) throw file_error(path.string() + ": is a folder, not a file");
        in_place_ = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status); // "/dev/null"
        target_ = std::filesystem::canonical(path, fault); // a symbolic link stays one
        if (fault) target_ = path;
        part_ = target_;
        if (!in_place_) part_ += ".part" + std::to_string(std::random_device{}());
        stream_.open(part_, std::ios::binary | std::ios::trunc);
        if (!stream_) throw file_error(path.string() + ": cannot be opened for writing");
    }
    replacement_file(replacement_file const&) = delete;
    replacement_file& operator=(replacement_file const&) = delete;
    ~replacement_file() {
        if (in_place_ || committed_) return;
        stream_.close();
        std::error_code ignored;
        std::filesystem::remove(part_, ignored);
    }

    void write(std::string_view text) { stream_.write(text.data(), static_cast<std::streamsize>(text.size())); }

    void commit() {
        stream_.close();
        if (!stream_) throw file_error(target_.string() + ": cannot be written; is the disk full?");
        if (in_place_) return;
        std::error_code fault;
        std::filesystem::rename(part_, target_, fault);
        if (fault) throw file_error(target_.string() + ": cannot be replaced: " + fault.message());
        committed_ = true;
    }

  private:
    std::filesystem::path target_, part_;
    std::ofstream stream_;
    bool in_place_ = false, committed_ = false;
};

[[nodiscard]] inline std::string safetensors_header(std::span<tensor_to_write const* const> tensors,
                                                    std::map<std::string, std::string> const& metadata) {
    auto header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::size_t offset = 0;
    for (tensor_to_write const* const t : tensors) {
        if (t->name == "__metadata__" || header.contains(t->name))
            throw argument_error("two tensors named " + in_quotes(t->name) + " cannot be written to one file");
        if (bytes_of(t->shape, t->type) != t->bytes.size())
            throw argument_error("the tensor " + in_quotes(t->name) + " has " + std::to_string(t->bytes.size())
                                 + " bytes, which its shape and type contradict");
        header[t->name] = {
            {"dtype", name_of(t->type)}, {"shape", t->shape}, {"data_offsets", {offset, offset + t->bytes.size()}}};
        offset += t->bytes.size();
    }
    try {
        return header.dump();
    } catch (nlohmann::json::exception const&) {
        throw argument_error("a tensor's name or the metadata is not valid UTF-8");
    }
}

} // namespace detail

/// Writes `tensors` and `metadata` to `path`: widest elements first, then by name, which keeps every tensor aligned to
/// its element, as the header is padded to a multiple of 8 bytes. Written beside `path` and then renamed. Throws
/// file_error, and argument_error for duplicate names or bytes that contradict a shape.
inline void write_safetensors(std::filesystem::path const& path, std::span<tensor_to_write const> tensors,
                              std::map<std::string, std::string> const& metadata = {}) {
    std::vector<tensor_to_write const*> order;
    for (tensor_to_write const& t : tensors) order.push_back(&t);
    std::sort(order.begin(), order.end(), [](tensor_to_write const* a, tensor_to_write const* b) {
        return std::pair(size_of(b->type), std::string_view(a->name))
               < std::pair(size_of(a->type), std::string_view(b->name));
    });
    std::string header = detail::safetensors_header(order, metadata);
    header.resize((header.size() + 7) / 8 * 8, ' ');
    if (header.size() > safetensors_header_limit) throw argument_error("too many tensors for one safetensors file");
    std::string length;
    for (std::size_t i = 0; i < 8; ++i)
        length += static_cast<char>(static_cast<unsigned char>(std::uint64_t{header.size()} >> (8 * i)));

    detail::replacement_file file(path);
    file.write(length);
    file.write(header);
    for (tensor_to_write const* const t : order)
        file.write({reinterpret_cast<char const*>(t->bytes.data()), t->bytes.size()});
    file.commit();
}

} // namespace llamavision::checkpoint
