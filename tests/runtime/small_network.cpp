// SPDX-License-Identifier: Apache-2.0
#include "small_network.hpp"

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/runtime/compiled_network.hpp>

namespace lv = llamavision;

namespace {
struct other : small {
    struct text : small::text {
        static constexpr std::array<std::size_t, 1> cross_layers{2};
    };
};

template <class C, class B>
std::shared_ptr<lv::network const> make(B backend, std::uint64_t seed) {
    return std::make_shared<lv::compiled_network<C, B>>(random_weights<C>(seed), std::move(backend));
}
} // namespace

std::shared_ptr<lv::network const> small_network() {
    static auto const network = make<small>(lv::scalar{}, 1);
    return network;
}
std::shared_ptr<lv::network const> small_network_simd() {
    static auto const network = make<small>(lv::simd(2), 1);
    return network;
}
std::shared_ptr<lv::network const> other_network() {
    static auto const network = make<other>(lv::scalar{}, 2);
    return network;
}
