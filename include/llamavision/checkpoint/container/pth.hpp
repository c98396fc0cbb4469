// SPDX-License-Identifier: Apache-2.0
// Reads what torch.save writes: a zip archive with a pickle that lists tensors, and one member for each storage that
// the tensors view.
#pragma once

#include <llamavision/checkpoint/container/mapped_file.hpp>
#include <llamavision/checkpoint/container/pickle.hpp>
#include <llamavision/checkpoint/container/zip.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/misplaced_file.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// The type with that torch name ("module name"); empty for UntypedStorage, which has none.
[[nodiscard]] inline std::optional<dtype> torch_type(std::string_view name) {
    constexpr std::array<std::pair<std::string_view, dtype>, 27> types{{
        {"torch FloatStorage", dtype::f32},
        {"torch HalfStorage", dtype::f16},
        {"torch BFloat16Storage", dtype::bf16},
        {"torch DoubleStorage", dtype::f64},
        {"torch LongStorage", dtype::i64},
        {"torch IntStorage", dtype::i32},
        {"torch ShortStorage", dtype::i16},
        {"torch CharStorage", dtype::i8},
        {"torch ByteStorage", dtype::u8},
        {"torch BoolStorage", dtype::boolean},
        {"torch float32", dtype::f32},
        {"torch float", dtype::f32},
        {"torch float16", dtype::f16},
        {"torch half", dtype::f16},
        {"torch bfloat16", dtype::bf16},
        {"torch float64", dtype::f64},
        {"torch int64", dtype::i64},
        {"torch int32", dtype::i32},
        {"torch int16", dtype::i16},
        {"torch int8", dtype::i8},
        {"torch uint8", dtype::u8},
        {"torch uint16", dtype::u16},
        {"torch uint32", dtype::u32},
        {"torch uint64", dtype::u64},
        {"torch bool", dtype::boolean},
        {"torch float8_e4m3fn", dtype::f8_e4m3},
        {"torch float8_e5m2", dtype::f8_e5m2},
    }};
    auto const at = std::find_if(types.begin(), types.end(), [&](auto const& type) { return type.first == name; });
    return at == types.end() ? std::nullopt : std::optional(at->second);
}

/// Copies the elements of a strided tensor to `to` in row-major order. Strides count elements; `element` is the size of
/// one in bytes.
inline void gather(std::span<std::byte> to, std::byte const* from, std::vector<std::size_t> const& shape,
                   std::vector<std::size_t> const& strides, std::size_t element) {
    if (to.empty()) return;
    std::vector<std::size_t> index(shape.size());
    std::size_t offset = 0;
    for (std::size_t at = 0;; at += element) {
        std::memcpy(to.data() + at, from + offset * element, element);
        std::size_t axis = shape.size();
        while (axis > 0 && index[axis - 1] + 1 == shape[axis - 1]) { // axes at their last index start again at 0
            --axis;
            offset -= index[axis] * strides[axis];
            index[axis] = 0;
        }
        if (axis == 0) return;
        ++index[axis - 1];
        offset += strides[axis - 1];
    }
}

/// Reads the list of tensors of one file.
class pth_reader {
  public:
    pth_reader(std::span<std::byte const> bytes, std::string const& name) : bytes_(bytes), name_(name) {}

    [[nodiscard]] named_tensors read() {
        refuse_other_kinds();
        open_archive();
        pickle_ = read_pickle(member("data.pkl"), name_ + ", " + root_ + "data.pkl");
        named_tensors result;
        auto const& list = state_dict();
        for (std::size_t i = 0; i + 1 < list.items.size(); i += 2) {
            pickle_value const& key = pickle_[list.items[i]];
            if (key.kind != pickled::text) continue; // not a name, so not a tensor of a model
            where_ = name_ + ": the tensor " + in_quotes(key.text);
            auto value = tensor_of(pickle_[list.items[i + 1]]);
            if (!value) continue;
            if (!result.tensors.emplace(std::string(key.text), *std::move(value)).second)
                throw format_error(where_ + " is listed twice");
        }
        if (result.tensors.empty()) throw format_error(name_ + ": lists no tensors");
        return result;
    }

  private:
    struct storage {
        std::span<std::byte const> bytes;
        std::optional<dtype> type; ///< empty if only the tensor says it
    };

    [[noreturn]] void fail(std::string const& what) const { throw format_error(where_ + " " + what); }

    void refuse_other_kinds() const {
        std::string_view const text(reinterpret_cast<char const*>(bytes_.data()), bytes_.size());
        if (auto const what = misplaced_file(text.substr(0, 1000)); !what.empty())
            throw format_error(name_ + ": " + std::string(what));
        if (text.starts_with("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")) // PROTO 2, the magic number
            throw format_error(name_
                               + ": is in the format that torch.save wrote before PyTorch 1.6, which is not "
                                 "supported; load it in PyTorch and save it again");
        if (!text.starts_with("PK"))
            throw format_error(name_ + ": not a file of torch.save: it does not begin with \"PK\"");
    }

    /// Fills `members_`. All members lie in one folder, whose name may be anything.
    void open_archive() {
        auto const all = read_zip(bytes_, name_);
        auto const is_list = [](zip_member const& m) { return m.name == "data.pkl" || m.name.ends_with("/data.pkl"); };
        auto const list = std::find_if(all.begin(), all.end(), is_list);
        if (list == all.end())
            throw format_error(name_ + ": a zip archive, but not one of torch.save: it holds no data.pkl");
        if (std::find_if(list + 1, all.end(), is_list) != all.end())
            throw format_error(name_ + ": holds more than one data.pkl");
        root_ = list->name.substr(0, list->name.size() - 8);
        for (zip_member const& m : all)
            if (m.name.starts_with(root_)) members_.emplace(m.name.substr(root_.size()), m.bytes);
        if (members_.contains("constants.pkl"))
            throw format_error(name_ + ": holds a program (TorchScript), not a list of tensors");
        if (auto const order = members_.find("byteorder"); order != members_.end()) {
            std::string_view const text(reinterpret_cast<char const*>(order->second.data()), order->second.size());
            if (text != "little")
                throw format_error(name_ + ": its byte order is " + in_quotes(text) + ", not \"little\"");
        }
    }

    [[nodiscard]] std::span<std::byte const> member(std::string const& name) const {
        auto const at = members_.find(name);
        if (at == members_.end())
            throw format_error((where_.empty() ? name_ + ":" : where_) + " needs " + in_quotes(root_ + name)
                               + ", which the archive lacks");
        return at->second;
    }

    /// The dictionary of tensors: the root, or the dictionary under its key "model".
    [[nodiscard]] pickle_value const& state_dict() const {
        pickle_value const* dictionary = &pickle_[pickle_.root];
        if (dictionary->kind != pickled::dictionary)
            throw format_error(name_ + ": does not hold a dictionary of tensors");
        for (std::size_t i = 0; i + 1 < dictionary->items.size(); i += 2) {
            pickle_value const& value = pickle_[dictionary->items[i + 1]];
            if (pickle_[dictionary->items[i]].text == "model" && value.kind == pickled::dictionary) return value;
        }
        return *dictionary;
    }

    [[nodiscard]] pickle_value const& argument(pickle_value const& call, std::size_t i) const {
        auto const& arguments = pickle_[call.items[1]].items;
        if (i >= arguments.size()) fail("is described by too few arguments");
        return pickle_[arguments[i]];
    }
    [[nodiscard]] std::size_t natural(pickle_value const& value) const {
        if (value.kind != pickled::integer || value.integer < 0) fail("is described by what is no natural number");
        return static_cast<std::size_t>(value.integer);
    }
    [[nodiscard]] std::vector<std::size_t> naturals(pickle_value const& value) const {
        if (value.kind != pickled::tuple) fail("has a shape or strides that are no tuple");
        if (value.items.size() > 16) fail("has " + std::to_string(value.items.size()) + " dimensions");
        std::vector<std::size_t> result;
        for (auto const item : value.items) result.push_back(natural(pickle_[item]));
        return result;
    }

    /// The tensor that `value` describes; empty if it describes something else.
    [[nodiscard]] std::optional<tensor> tensor_of(pickle_value const& value) {
        if (value.kind != pickled::call) return std::nullopt;
        pickle_value const* call = &value;
        if (pickle_[call->items[0]].text.ends_with("_rebuild_parameter")) {
            call = &argument(*call, 0);
            if (call->kind != pickled::call) fail("is a parameter without a tensor");
        }
        auto const function = pickle_[call->items[0]].text;
        if (!function.starts_with("torch._utils _rebuild_tensor_v")) fail("is a parameter of a parameter");
        storage const from = storage_of(argument(*call, 0));
        auto type = from.type;
        if (function.ends_with("3")) { // (storage, offset, size, stride, requires_grad, hooks, dtype)
            auto const stated = torch_type(argument(*call, 6).text);
            if (!stated || (type && type != stated)) fail("has an element type that contradicts its storage");
            type = stated;
        }
        if (!type) fail("has no element type");
        return view(from.bytes, *type, natural(argument(*call, 1)), naturals(argument(*call, 2)),
                    naturals(argument(*call, 3)));
    }

    /// The storage with the persistent id ("storage", type, key, device, number of elements).
    [[nodiscard]] storage storage_of(pickle_value const& value) const {
        if (value.kind != pickled::persistent) fail("has no storage");
        pickle_value const& id = pickle_[value.items[0]];
        if (id.kind != pickled::tuple || id.items.size() < 5 || pickle_[id.items[0]].text != "storage"
            || pickle_[id.items[1]].kind != pickled::name || pickle_[id.items[2]].kind != pickled::text)
            fail("has a storage that is described in an unknown way");
        auto const type = torch_type(pickle_[id.items[1]].text);
        auto const bytes = member("data/" + std::string(pickle_[id.items[2]].text));
        std::size_t const count = natural(pickle_[id.items[4]]), element = type ? size_of(*type) : 1;
        if (bytes.size() % element != 0 || bytes.size() / element != count)
            fail("has a storage of " + std::to_string(count) + " elements of " + std::to_string(element)
                 + " bytes, but the archive holds " + std::to_string(bytes.size()) + " bytes of it");
        return {bytes, type};
    }

    /// The tensor that views `from`. `offset` and `strides` count elements.
    [[nodiscard]] tensor view(std::span<std::byte const> bytes, dtype type, std::size_t offset,
                              std::vector<std::size_t> shape, std::vector<std::size_t> const& strides) const {
        if (shape.size() != strides.size()) fail("has not as many strides as extents");
        std::size_t const element = size_of(type), count = bytes.size() / element;
        // No axis is longer than the file, so the products below fit into 64 bits.
        std::size_t values = 1, last = offset, dense = 1;
        bool const empty = std::find(shape.begin(), shape.end(), std::size_t{0}) != shape.end();
        bool contiguous = true;
        for (std::size_t i = shape.size(); i-- > 0;) {
            if (shape[i] > bytes_.size()) fail("has an extent of " + std::to_string(shape[i]) + ", more than the file");
            if (empty || shape[i] == 1) continue;
            if (values > bytes_.size() / element / shape[i])
                fail("claims more values than the whole file has bytes for");
            values *= shape[i];
            if (last > count || strides[i] > (count - last) / (shape[i] - 1))
                fail("reaches beyond its storage of " + std::to_string(count) + " elements");
            last += strides[i] * (shape[i] - 1);
            contiguous = contiguous && strides[i] == dense;
            dense *= shape[i];
        }
        tensor result{type, std::move(shape), {}, {}};
        if (empty) return result;
        if (last >= count) fail("reaches beyond its storage of " + std::to_string(count) + " elements");
        if (contiguous) {
            result.bytes = bytes.subspan(offset * element, values * element);
            return result;
        }
        result.make = [from = bytes.data() + offset * element, shape = result.shape, strides,
                       element](std::span<std::byte> to) { gather(to, from, shape, strides, element); };
        return result;
    }

    std::span<std::byte const> bytes_;
    std::string const& name_;
    std::string root_;                                                       ///< the archive's folder, ending with "/"
    std::map<std::string, std::span<std::byte const>, std::less<>> members_; ///< by name without the folder
    pickle_content pickle_;
    std::string where_; ///< the current tensor, for errors
};

} // namespace detail

/// The tensors of a file of torch.save. They view `bytes`, which must outlive them; several may view one storage, and
/// tensors that are not contiguous are made on demand. Values of other kinds are left out, and if there is a dictionary
/// under the key "model", only that is read. `name` is the file's name in errors. No code in the file is executed.
/// @throws format_error for a file of another kind, one that contradicts itself, and anything in its pickle that
///         weights do not need
[[nodiscard]] inline named_tensors parse_pth(std::span<std::byte const> bytes, std::string const& name) {
    return detail::pth_reader(bytes, name).read();
}

/// Maps a file and reads its list. The tensors view the mapping, which `owners` keeps alive.
/// @throws file_error and format_error
[[nodiscard]] inline named_tensors read_pth(std::filesystem::path const& path) {
    auto const file = mapped_file::open(path);
    auto result = parse_pth(file->bytes(), path.string());
    result.owners.push_back(file);
    return result;
}

} // namespace llamavision::checkpoint
