// SPDX-License-Identifier: Apache-2.0
// Tapped layers are layers of the tower.
// expect: mllama
// expect below: ascending_below\(.*vision::taps, .*vision::layers
#include <llamavision/model/mllama.hpp>

struct mine : llamavision::llama_3_2_11b_vision {
    struct vision : llamavision::llama_3_2_11b_vision::vision {
#ifdef CORRECT
        static constexpr std::array<std::size_t, 5> taps{0, 7, 15, 23, 31};
#else
        static constexpr std::array<std::size_t, 5> taps{0, 7, 15, 23, 32};
#endif
    };
};
constexpr auto model = llamavision::mllama<mine>;
