// SPDX-License-Identifier: Apache-2.0
// Writes what torch.save writes for a dictionary of tensors: a zip archive with a pickle that describes the tensors,
// and one member for the bytes of each. torch.load(weights_only=True) reads it.
#pragma once

#include <llamavision/checkpoint/write/safetensors.hpp>
#include <llamavision/checkpoint/write/zip.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/replacement_file.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// Writes a pickle of protocol 2. Opcodes have the names of Python's pickletools in comments.
class pickle_writer {
  public:
    pickle_writer() : text_("\x80\x02") {} // PROTO 2

    void op(char opcode) { text_ += opcode; }
    void unicode(std::string_view value) { // BINUNICODE
        op('X');
        put_number(text_, value.size(), 4);
        text_ += value;
    }
    void integer(std::uint64_t value) {
        if (value < 0x80000000u) { // BININT, signed
            op('J');
            put_number(text_, value, 4);
        } else { // LONG1: two's complement, so the highest bit must be 0
            op('\x8a');
            put_number(text_, 9, 1);
            put_number(text_, value, 8);
            put_number(text_, 0, 1);
        }
    }
    void tuple(std::span<std::size_t const> values) {
        op('('); // MARK
        for (std::size_t const value : values) integer(value);
        op('t'); // TUPLE
    }
    void global(std::string_view module, std::string_view name) {
        op('c');
        text_ += std::string(module) + "\n" + std::string(name) + "\n";
    }
    [[nodiscard]] std::string finish() {
        op('.'); // STOP
        return text_;
    }

  private:
    std::string text_;
};

[[nodiscard]] inline std::string_view torch_storage(dtype type) {
    switch (type) {
    case dtype::f32: return "FloatStorage";
    case dtype::f16: return "HalfStorage";
    case dtype::bf16: return "BFloat16Storage";
    default: throw argument_error("tensors of " + std::string(name_of(type)) + " cannot be written for torch");
    }
}

/// torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())
inline void put_tensor(pickle_writer& out, tensor_to_write const& t, std::size_t number) {
    std::vector<std::size_t> strides(t.shape.size(), 1);
    std::size_t count = 1;
    for (std::size_t i = t.shape.size(); i-- > 0; count *= t.shape[i]) strides[i] = count;
    out.global("torch._utils", "_rebuild_tensor_v2");
    out.op('(');
    out.op('('); // the storage: a persistent id
    out.unicode("storage");
    out.global("torch", torch_storage(t.type));
    out.unicode(std::to_string(number));
    out.unicode("cpu");
    out.integer(count);
    out.op('t');
    out.op('Q'); // BINPERSID
    out.integer(0);
    out.tuple(t.shape);
    out.tuple(strides);
    out.op('\x89'); // NEWFALSE
    out.global("collections", "OrderedDict");
    out.op(')'); // EMPTY_TUPLE
    out.op('R'); // REDUCE
    out.op('t');
    out.op('R');
}

/// The pickle of the dictionary. Storages are numbered in the order of the tensors.
[[nodiscard]] inline std::string state_dict_pickle(std::span<tensor_to_write const> tensors) {
    pickle_writer out;
    std::set<std::string_view> names;
    out.op('}'); // EMPTY_DICT
    out.op('(');
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        if (!names.insert(tensors[i].name).second)
            throw argument_error("two tensors named " + in_quotes(tensors[i].name) + " cannot be written to one file");
        out.unicode(tensors[i].name);
        put_tensor(out, tensors[i], i);
    }
    out.op('u'); // SETITEMS
    return out.finish();
}

} // namespace detail

/// Writes `tensors` in their order to a file beside `path`, and renames it to `path` when it is complete. The archive's
/// folder is called like the stem of `path`. `report` counts bytes.
/// @throws file_error, and argument_error for duplicate names, types other than F32, F16 and BF16, or bytes that
///         contradict a shape
inline void write_pth(std::filesystem::path const& path, std::span<tensor_to_write const> tensors,
                      progress const& report = {}) {
    std::size_t done = 0, total = 0;
    for (tensor_to_write const& t : tensors) {
        auto const size = bytes_of(t.shape, t.type);
        if (!size) throw argument_error("the tensor " + in_quotes(t.name) + " is too large");
        total += *size;
    }
    std::string const root = path.stem().string() + "/";
    replacement_file file(path);
    detail::zip_writer archive(file);
    archive.add(root + "data.pkl", detail::state_dict_pickle(tensors));
    archive.add(root + "byteorder", "little");
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        tensor_to_write const& t = tensors[i];
        std::size_t const size = *bytes_of(t.shape, t.type);
        archive.add(root + "data/" + std::to_string(i), size,
                    [&](byte_sink const& sink) { detail::write_tensor(sink, t, done, total, report); });
        done += size;
    }
    archive.add(root + "version", "3\n");
    archive.finish();
    file.commit();
    if (report) report(total, total);
}

} // namespace llamavision::checkpoint
