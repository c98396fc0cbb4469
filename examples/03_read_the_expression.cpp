// SPDX-License-Identifier: Apache-2.0
// The model is one expression, known to the compiler: its size and its work are constants, and it prints itself. No
// weights are needed for any of this.
#include <iostream>

#include <llamavision/expression/count.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/model/mllama.hpp>

using model = llamavision::llama_3_2_11b_vision;

// Reading `count`.
static_assert(count(llamavision::mllama<model>).tensors == 906);
static_assert(count(llamavision::mllama<model>).parameters == 10'670'220'835);
static_assert(count(llamavision::mllama<model>).bytes(llamavision::format::bf16) == 21'340'441'670);

// Any part can be taken out and read by itself.
constexpr auto block = llamavision::text_block<model::text>{};
static_assert(count(block).parameters == 218'112'000);

// Reading `flops`: one token of text, no picture in sight. Two operations for each weight of a product it meets.
constexpr double operations_per_token = [] {
    llamavision::work work;
    work.text_rows = work.logit_rows = 1;
    double rows = 1;
    return flops(llamavision::mllama<model>.reader, work, rows);
}();
static_assert(operations_per_token > 15.0e9 && operations_per_token < 15.1e9);

// A module of your own, from the library's layers; a width that does not fit would not compile.
constexpr auto mine =
    residual(llamavision::rms_norm<"norm", model::text> | llamavision::linear<"down", 4096, 64> | llamavision::silu
             | llamavision::linear<"up", 64, 4096>);
static_assert(count(mine).parameters == 4096 + 2 * 4096 * 64);

int main() {
    // Reading `describe`.
    std::cout << describe(llamavision::mllama<model>.encoder) << describe(llamavision::mllama<model>.reader)
              << "\nan adapter of one's own:\n"
              << describe(mine);
}
