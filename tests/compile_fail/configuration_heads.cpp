// SPDX-License-Identifier: Apache-2.0
// A configuration whose heads do not divide the width is no configuration; a note says why.
// expect: mllama
// expect below: text::width % [a-z:A-Z ]*text::heads
#include <llamavision/model/mllama.hpp>

struct mine : llamavision::llama_3_2_11b_vision {
    struct text : llamavision::llama_3_2_11b_vision::text {
#ifdef CORRECT
        static constexpr std::size_t heads = 64;
#else
        static constexpr std::size_t heads = 30;
#endif
    };
};
constexpr auto model = llamavision::mllama<mine>;
