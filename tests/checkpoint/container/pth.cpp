// SPDX-License-Identifier: Apache-2.0
// Files that torch wrote (make_pth.py), and files with faults.
#include <llamavision/checkpoint/container/pth.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"
#include "archive.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;
using archive::dictionary;
using archive::pth;
using archive::storage;

namespace {

named_tensors torch_file(std::string const& name) { return read_pth(LLAMAVISION_TEST_DATA "/pth/" + name); }

/// The values of a tensor of 16-bit elements that torch counted up from 0 as bfloat16.
std::vector<int> counted(tensor const& t) {
    REQUIRE(t.type == dtype::bf16);
    std::vector<std::byte> room;
    auto const bytes = bytes_of(t, room);
    std::vector<int> result;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        std::uint16_t half = 0;
        std::memcpy(&half, bytes.data() + i, 2);
        float value = 0;
        std::uint32_t const bits = std::uint32_t{half} << 16;
        std::memcpy(&value, &bits, 4);
        result.push_back(static_cast<int>(value));
    }
    return result;
}

std::string fault(std::string const& file) {
    return message_of<format_error>([&] { return parse_pth(archive::bytes(file), "f"); });
}
/// The error of a file with one tensor of 12 elements.
std::string fault(std::uint64_t offset, std::vector<std::uint64_t> const& shape,
                  std::vector<std::uint64_t> const& strides) {
    auto const value = dictionary({{"t", archive::tensor(storage("0", 12), offset, shape, strides)}});
    return fault(pth(value, {std::string(24, 'x')}));
}
std::string const one = archive::tensor(storage("0", 12), 0, {12}, {1});
std::string const twelve(24, 'x');

} // namespace

TEST_CASE("tensors that share a storage, in every order of elements") {
    for (std::string const file : {"views.pth", "nested.pth"}) {
        auto const all = torch_file(file);
        auto const& t = all.tensors;
        CHECK(t.size() == 10); // without the entries step, name, nothing and list
        CHECK(counted(t.at("whole"))
              == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23});
        CHECK(t.at("transposed").shape == std::vector<std::size_t>{6, 4});
        CHECK(counted(t.at("transposed"))
              == std::vector{0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23});
        CHECK(counted(t.at("rows")) == std::vector{6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17});
        CHECK(counted(t.at("columns")) == std::vector{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23});
        CHECK(counted(t.at("repeated"))
              == std::vector{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5});
        CHECK(t.at("rows").bytes.data() == t.at("whole").bytes.data() + 12); // a view of the same bytes
        for (std::string const name : {"whole", "rows", "parameter", "scalar", "half", "long"})
            CHECK_MESSAGE(!t.at(name).make, name);
        CHECK(t.at("scalar").shape.empty());
        CHECK(t.at("scalar").bytes.size() == 4);
        CHECK(t.at("empty").shape == std::vector<std::size_t>{0, 3});
        CHECK(t.at("empty").bytes.empty());
        CHECK(t.at("parameter").type == dtype::f32);
        CHECK(t.at("half").type == dtype::f16);
        CHECK(t.at("long").type == dtype::i64);
    }
}

TEST_CASE("storages lie where torch aligned them") {
    auto const all = torch_file("metadata.pth");
    CHECK(all.tensors.size() == 2);
    for (auto const& [name, value] : all.tensors) CHECK(reinterpret_cast<std::uintptr_t>(value.bytes.data()) % 64 == 0);
}

TEST_CASE("storages without a type") {
    auto const all = torch_file("typed.pth");
    CHECK(all.tensors.at("u").type == dtype::u16);
    CHECK(all.tensors.at("u").bytes.size() == 6);
    CHECK(all.tensors.at("f").type == dtype::f8_e4m3);
}

TEST_CASE("what is no file of torch.save is told") {
    CHECK(contains(message_of<format_error>([] { return torch_file("before_1_6.pth"); }),
                   "is in the format that torch.save wrote before PyTorch 1.6, which is not supported; load it"));
    CHECK(contains(fault("version https://git-lfs.github.com/spec/v1\n"), "f: this is a Git LFS pointer"));
    CHECK(contains(fault("<!DOCTYPE html>"), "f: this is a web page"));
    CHECK(contains(fault("weights"), "f: not a file of torch.save: it does not begin with \"PK\""));
    CHECK(contains(fault(archive::zip({{"x", "y"}})), "but not one of torch.save: it holds no data.pkl"));
    CHECK(contains(fault(archive::zip({{"a/data.pkl", ""}, {"b/data.pkl", ""}})), "more than one data.pkl"));
    CHECK(
        contains(fault(archive::zip({{"a/data.pkl", ""}, {"a/constants.pkl", ""}})), "holds a program (TorchScript)"));
    CHECK(contains(fault(archive::zip({{"a/data.pkl", ""}, {"a/byteorder", "big"}})), "its byte order is \"big\""));
    CHECK(contains(fault(pth("N", {})), "does not hold a dictionary of tensors"));
    CHECK(contains(fault(pth("}", {})), "lists no tensors"));
    CHECK(contains(fault(pth(archive::global("os", "system"), {})), "f, x/data.pkl, byte 2: refers to \"os.system\""));
    temporary_folder const folder;
    CHECK(contains(message_of<file_error>([&] { return read_pth(folder.path() / "x.pth"); }), "no such file"));
    CHECK(contains(message_of<file_error>([&] { return read_pth(folder.write("x.pth", "")); }), "is empty"));
}

TEST_CASE("any folder in the archive, or none") {
    auto const program = archive::pickle(dictionary({{"t", one}}));
    for (std::string const root : {"", "archive/", "consolidated.00/", "a/b/"}) {
        auto const file = archive::zip({{"elsewhere", "x"}, {root + "data/0", twelve}, {root + "data.pkl", program}});
        CHECK(parse_pth(archive::bytes(file), "f").tensors.size() == 1);
    }
    CHECK(contains(fault(archive::zip({{"a/data.pkl", program}, {"b/data/0", twelve}})),
                   "the tensor \"t\" needs \"a/data/0\", which the archive lacks"));
}

TEST_CASE("no tensor reaches outside of its storage") {
    std::uint64_t const most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    CHECK(fault(0, {3, 4}, {4, 1}) == "nothing was thrown");
    CHECK(fault(11, {1}, {1}) == "nothing was thrown");
    CHECK(fault(11, {}, {}) == "nothing was thrown");
    CHECK(fault(0, {1, 12}, {most, 1}) == "nothing was thrown"); // the stride of an axis of length 1 has no effect
    CHECK(fault(12, {0}, {1}) == "nothing was thrown");
    std::string const beyond = "the tensor \"t\" reaches beyond its storage of 12 elements";
    CHECK(contains(fault(1, {12}, {1}), beyond));
    CHECK(contains(fault(12, {1}, {1}), beyond));
    CHECK(contains(fault(12, {}, {}), beyond));
    CHECK(contains(fault(most, {2}, {1}), beyond));
    CHECK(contains(fault(0, {2}, {12}), beyond));
    CHECK(contains(fault(0, {2}, {most}), beyond));
    CHECK(contains(fault(0, {3, 3}, {most / 2 + 1, most / 2 + 1}), beyond));
    CHECK(contains(fault(0, {3, 4}, {5, 1}), beyond));
    CHECK(contains(fault(0, {13}, {1}), beyond));
    CHECK(contains(fault(0, {most}, {0}), "has an extent of 9223372036854775807, more than the file"));
    CHECK(contains(fault(0, {most, 0}, {0, 0}), "more than the file"));
    CHECK(contains(fault(0, {400, 400}, {0, 0}), "claims more values than the whole file has bytes for"));
    CHECK(contains(fault(0, {400, 400, 400, 400, 400, 400, 400, 400, 400, 400}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
                   "claims more values"));
    CHECK(contains(fault(0, {3, 4}, {4}), "not as many strides as extents"));
    CHECK(contains(fault(0, std::vector<std::uint64_t>(17, 1), std::vector<std::uint64_t>(17, 1)), "17 dimensions"));
    CHECK(contains(fault(0, {~std::uint64_t{0}}, {1}), "is described by what is no natural number")); // -1
    CHECK(contains(fault(~std::uint64_t{0}, {1}, {1}), "is described by what is no natural number"));
}

TEST_CASE("storages that lie about their size") {
    for (std::uint64_t const count : {std::uint64_t{11}, std::uint64_t{13}, std::uint64_t{1} << 62}) {
        auto const value = dictionary({{"t", archive::tensor(storage("0", count), 0, {1}, {1})}});
        CHECK(contains(fault(pth(value, {twelve})), "elements of 2 bytes, but the archive holds 24 bytes of it"));
    }
    auto const odd = dictionary({{"t", archive::tensor(storage("0", 12), 0, {1}, {1})}});
    CHECK(contains(fault(pth(odd, {twelve + "x"})), "but the archive holds 25 bytes of it"));
}

TEST_CASE("tensors that are described in other ways") {
    auto const with = [](std::string const& value) { return fault(pth(dictionary({{"t", value}}), {twelve})); };
    auto const call = [](std::string const& function, std::string const& arguments) {
        return archive::global("torch._utils", function) + "(" + arguments + "tR";
    };
    std::string const view = storage("0", 12) + archive::integer(0) + archive::tuple({12}) + archive::tuple({1});
    CHECK(with(call("_rebuild_tensor_v2", view)) == "nothing was thrown");
    CHECK(with(call("_rebuild_parameter", call("_rebuild_tensor_v2", view))) == "nothing was thrown");
    CHECK(contains(with(call("_rebuild_tensor_v2", storage("0", 12))), "by too few arguments"));
    CHECK(contains(with(call("_rebuild_tensor_v2", "")), "by too few arguments"));
    CHECK(contains(with(call("_rebuild_tensor_v2", "NNNN")), "has no storage"));
    CHECK(contains(with(call("_rebuild_tensor_v2", "NQNNN")), "described in an unknown way"));
    CHECK(contains(with(call("_rebuild_tensor_v2", "(NNNNNtQNNN")), "described in an unknown way"));
    CHECK(
        contains(with(call("_rebuild_tensor_v2", storage("0", 12) + "N" + archive::tuple({12}) + archive::tuple({1}))),
                 "no natural number"));
    CHECK(contains(with(call("_rebuild_tensor_v2", storage("0", 12) + "K\1NN")), "are no tuple"));
    CHECK(contains(with(call("_rebuild_tensor_v2", storage("0", 24, "UntypedStorage"))),
                   "refers to")); // it is in torch.storage
    CHECK(contains(with(call("_rebuild_parameter", "N")), "a parameter without a tensor"));
    CHECK(contains(with(call("_rebuild_parameter", "")), "by too few arguments"));
    std::string const nested = call("_rebuild_parameter", call("_rebuild_parameter", "N"));
    CHECK(contains(with(nested), "is a parameter of a parameter"));
    CHECK(contains(with(call("_rebuild_tensor_v3", view + "\x89N" + archive::global("torch", "float32"))),
                   "contradicts"));
    CHECK(contains(with(call("_rebuild_tensor_v3", view + "\x89N")), "by too few arguments"));
    CHECK(contains(with(call("_rebuild_tensor_v3", view + "\x89NN")), "contradicts"));
    CHECK(contains(fault(pth(dictionary({{"t", one}, {"t", one}}), {twelve})), "the tensor \"t\" is listed twice"));
    CHECK(contains(with("}q\1(" + archive::text("model") + "h\1u"), "lists no tensors")); // contains itself
    CHECK(contains(fault(pth("}q\1" + archive::text("model") + "h\1s", {})), "lists no tensors"));
}

TEST_CASE("a file that is cut off anywhere is refused") {
    std::string const whole = text_of_file(LLAMAVISION_TEST_DATA "/pth/views.pth");
    for (std::size_t size = 0; size < whole.size(); size += 3)
        CHECK_MESSAGE(fault(whole.substr(0, size)) != "nothing was thrown", size);
}
