// SPDX-License-Identifier: Apache-2.0
// The machine that reads pickles: what it accepts, and that it refuses everything else.
#include <llamavision/checkpoint/container/pickle.hpp>

#include "../../support/message.hpp"
#include "archive.hpp"

#include <cstdint>
#include <doctest/doctest.h>
#include <string>

using namespace llamavision;
using namespace llamavision::checkpoint;
using archive::pickle;

namespace {

std::string fault(std::string const& program) {
    return message_of<format_error>([&] { return read_pickle(archive::bytes(program), "f"); });
}

/// The result of a pickle.
pickle_value value(std::string const& instructions) {
    static std::string program; // texts view it
    program = pickle(instructions);
    auto const content = read_pickle(archive::bytes(program), "f");
    return content[content.root];
}

std::string operator""_b(char const* text, std::size_t size) { return {text, size}; } // with zeros in it

} // namespace

TEST_CASE("values") {
    CHECK(value("N").kind == pickled::none);
    CHECK(value("\x88").kind == pickled::boolean);
    CHECK(value("\x88").integer == 1);
    CHECK(value("\x89").integer == 0);
    CHECK(value("K\xff").integer == 255);
    CHECK(value("M\xff\xff").integer == 65535);
    CHECK(value("J\xfe\xff\xff\xff").integer == -2);
    CHECK(value("\x8a\x00"_b).integer == 0);
    CHECK(value("\x8a\x01\xff").integer == -1);
    CHECK(value("\x8a\x05\x00\x00\x00\x00\x01"_b).integer == std::int64_t{1} << 32);
    CHECK(value("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"_b).integer == INT64_MIN);
    CHECK(value("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\x00"_b).integer == INT64_MAX);
    CHECK(value("G\x3f\xf8\x00\x00\x00\x00\x00\x00"_b).real == 1.5);
    CHECK(value(archive::text("name")).text == "name");
    CHECK(value("\x8c\x02hi").text == "hi");
    CHECK(value("\x8d" + archive::number(2, 8) + "hi").text == "hi");
    CHECK(value("(K\x01K\x02t").items.size() == 2);
    CHECK(value("NN\x86").items.size() == 2);
    CHECK(value("](NNNe").items.size() == 3);
    CHECK(value("]Na").items.size() == 1);
    CHECK(value("}(NNNNu").items.size() == 4);
    CHECK(value("}NNs").items.size() == 2);
    CHECK(value("NN0").kind == pickled::none);
    CHECK(value("\x95" + archive::number(1, 8) + "N").kind == pickled::none);
    CHECK(value(archive::global("torch", "HalfStorage")).text == "torch HalfStorage");
    CHECK(value("\x8c\x05torch\x8c\x0c"
                "FloatStorage\x93")
              .text
          == "torch FloatStorage");
    CHECK(value(archive::global("collections", "OrderedDict") + ")R").kind == pickled::dictionary);
    CHECK(value(archive::global("collections", "OrderedDict") + ")R}b").kind == pickled::dictionary);
    CHECK(value(archive::tensor(archive::storage("0", 1), 0, {1}, {1})).kind == pickled::call);
    CHECK(value("Nq\x05"
                "0h\x05")
              .kind
          == pickled::none);
    CHECK(value("Nr\x05\x00\x00\x00"
                "0j\x05\x00\x00\x00"_b)
              .kind
          == pickled::none);
    CHECK(value("N\x94"
                "0h\x00"_b)
              .kind
          == pickled::none);
}

TEST_CASE("nothing that a program could do is done") {
    CHECK(fault(pickle(archive::global("os", "system") + archive::text("rm -rf /") + "\x85R"))
          == "f, byte 2: refers to \"os.system\", which weights have no need of; nothing was executed");
    CHECK(contains(fault(pickle("\x8c\x08"
                                "builtins\x8c\x04"
                                "eval\x93")),
                   "refers to \"builtins.eval\""));
    CHECK(contains(fault(pickle(archive::global("torch", "load"))), "refers to \"torch.load\""));
    CHECK(contains(fault(pickle(archive::global("torch._utils", "_rebuild_tensor_v2\x01"))), "_v2\\x01\", which"));
    CHECK(contains(fault(pickle("cos system\n\n")), "refers to \"os system.\""));
    for (std::string const instruction :
         {"i", "o", "\x81", "\x92", "\x82\x01", "P", "S", "I", "F", "l", "d", "2", "\x8f"})
        CHECK(contains(fault(pickle(instruction)), "is none that lists of tensors are written with"));
    CHECK(contains(fault(pickle("iposix\nsystem\n")), "the instruction 0x69 'i' is none"));
    CHECK(contains(fault(pickle("\x81")), "the instruction 0x81 is none"));
    CHECK(contains(fault(pickle(archive::global("torch", "FloatStorage") + ")R")), "calls what is no function"));
    CHECK(
        contains(fault(pickle(archive::text("torch._utils _rebuild_tensor_v2") + ")R")), "calls what is no function"));
    CHECK(contains(fault(pickle(archive::global("collections", "OrderedDict") + "NR")), "no arguments"));
    CHECK(contains(fault(pickle(archive::global("collections", "OrderedDict") + "N\x85R")), "from a list"));
    CHECK(contains(fault(pickle("N}b")), "gives a state to what is no dictionary"));
}

TEST_CASE("programs that contradict themselves") {
    for (auto const& c : {
             std::pair<std::string, std::string>{"", "byte 0: the pickle is cut off"},
             {"\x80", "cut off"},
             {"\x80\x09N.", "a protocol that is not known"},
             {pickle("N") + "x", "something follows after the end"},
             {pickle(""), "finds nothing on the stack"},
             {pickle("NN"), "ends with several values"},
             {pickle("(N"), "ends with several values"},
             {pickle("t"), "finds no mark"},
             {pickle("N(\x85t"), "finds nothing on the stack"}, // the value is below the mark
             {pickle("h\x07"), "recalls the value 7, which was not stored"},
             {pickle("j\xff\xff\xff\xff"), "recalls the value 4294967295"},
             {pickle("q\x01"), "finds nothing on the stack"},
             {pickle("NNa"), "appends to what is no list"},
             {pickle("NNNs"), "puts entries into what is no dictionary"},
             {pickle("}(Nu"), "puts entries into what is no dictionary"},
             {pickle("]NNs"), "puts entries into what is no dictionary"},
             {pickle("NN\x93"), "a name is no text"},
             {pickle("X\xff\xff\xff\xff"
                     "abc"),
              "cut off"},
             {pickle("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "cut off"},
             {pickle("\x95\xff\xff\xff\xff\xff\xff\xff\xff"), "cut off"},
             {pickle("ctorch\nFloatStorage"), "cut off"},
             {pickle("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00"_b), "more than can be counted"},
             {pickle("\x8a\x10" + std::string(16, '\1')), "an integer has 16 bytes"},
             {pickle("\x8a\xff"
                     "12"),
              "cut off"},
         })
        CHECK_MESSAGE(contains(fault(c.first), c.second), c.second);
}

TEST_CASE("a pickle that is cut off anywhere is refused") {
    std::string const whole =
        pickle(archive::dictionary({{"a", archive::tensor(archive::storage("0", 4), 0, {2, 2}, {2, 1})},
                                    {"b", "G12345678"},
                                    {"c", "](K\1M\1\1e"}}));
    CHECK(fault(whole) == "nothing was thrown");
    for (std::size_t size = 0; size < whole.size(); ++size)
        CHECK_MESSAGE(fault(whole.substr(0, size)) != "nothing was thrown", size);
}

TEST_CASE("bombs cost no more than their bytes") {
    CHECK(value("]q\1h\1a").items.size() == 1); // a list that contains itself
    std::string deep;
    for (int i = 0; i < 1'000'000; ++i) deep += "(";
    for (int i = 0; i < 1'000'000; ++i) deep += "t";
    CHECK(value(deep).kind == pickled::tuple); // a million levels, no recursion
    std::string laughs = "]q\1";               // every list contains the one before ten times
    for (int i = 0; i < 60; ++i) laughs += "0](h\1h\1h\1h\1h\1h\1h\1h\1h\1h\1eq\1";
    CHECK(value(laughs).items.size() == 10);
    std::string slots;
    for (std::uint64_t i = 0; i < 1000; ++i) slots += "Nr" + archive::number(0xFFFFFFFF - i, 4) + "0";
    CHECK(value(slots + "N").kind == pickled::none); // a large slot number does not allocate a large memo
    CHECK(contains(fault(std::string((std::size_t{16} << 20) + 1, 'N')), "larger than any list of tensors"));
}
