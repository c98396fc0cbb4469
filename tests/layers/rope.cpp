// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding against complex rotation, and its frequencies against exact arithmetic.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>

#include <llamavision/layers/rope.hpp>

#include "../support/bound.hpp"
#include "../support/small.hpp"

namespace lv = llamavision;

namespace {
struct text {
    static constexpr std::size_t width = 24, heads = 4; // head_dim 6
};
} // namespace

TEST_CASE("llama3 scaling: kept, smoothed and divided frequencies") {
    std::vector<float> const f = lv::rope_frequencies({500000.0, true, 8.0, 1.0, 4.0, 8192}, 128);
    REQUIRE(f.size() == 64);
    auto const plain = [](std::size_t i) { return std::pow(500000.0, -static_cast<double>(i) / 64.0); };
    for (std::size_t i = 0; i <= 28; ++i) CHECK(f[i] == doctest::Approx(plain(i)).epsilon(1e-6));
    for (std::size_t i = 35; i < 64; ++i) CHECK(f[i] == doctest::Approx(plain(i) / 8).epsilon(1e-6));
    // 29 to 34 are smoothed; exact values.
    double const spots[] = {3.211446e-3, 2.166571e-3, 1.371894e-3, 8.567514e-4,
                            5.248462e-4, 3.126938e-4, 1.785078e-4, 9.556212e-5};
    for (std::size_t i = 0; i < 8; ++i) CHECK(f[28 + i] == doctest::Approx(spots[i]).epsilon(2e-6));
    CHECK(f[63] == doctest::Approx(3.068926e-7).epsilon(2e-6));
}

TEST_CASE("unscaled frequencies") {
    std::vector<float> const f = lv::rope_frequencies({10000.0, false, 8.0, 1.0, 4.0, 8192}, 8);
    REQUIRE(f.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) CHECK(f[i] == doctest::Approx(std::pow(10.0, -static_cast<double>(i))));
}

TEST_CASE("every head turns as complex numbers do: halves (i, i + head_dim / 2)") {
    lv::config::rope_numbers const numbers{500000.0, true, 8.0, 1.0, 4.0, 8192};
    std::vector<float> const frequencies = lv::rope_frequencies(numbers, 6);
    std::size_t const first = 37, count = 3, heads = 2; // keys: fewer heads in a row
    std::vector<float> cos(count * 3), sin(count * 3);
    lv::rope_angles(frequencies, first, count, cos.data(), sin.data());
    lv::text_rows now;
    now.cos = cos.data();
    now.sin = sin.data();
    lv::arena nowhere;
    lv::context c{nowhere};
    c.text = &now;
    floats const x = random_floats(3).many(count * heads * 6);
    bound const word(lv::rope<text>, {});
    floats const y = word(x, heads * 6, heads * 6, 0, c);
    for (std::size_t r = 0; r < count; ++r)
        for (std::size_t h = 0; h < heads; ++h)
            for (std::size_t i = 0; i < 3; ++i) {
                std::size_t const at = (r * heads + h) * 6 + i;
                double const angle = static_cast<double>(first + r) * static_cast<double>(frequencies[i]);
                std::complex<double> const turned =
                    std::complex<double>(static_cast<double>(x[at]), static_cast<double>(x[at + 3]))
                    * std::polar(1.0, angle);
                CHECK(y[at] == doctest::Approx(turned.real()).epsilon(1e-5));
                CHECK(y[at + 3] == doctest::Approx(turned.imag()).epsilon(1e-5));
            }
}

TEST_CASE("scores depend on distances alone") {
    std::vector<float> const f = lv::rope_frequencies({10000.0, false, 8.0, 1.0, 4.0, 8192}, 8);
    floats const q = random_floats(1).many(8), k = random_floats(2).many(8);
    auto const score = [&](std::size_t at_q, std::size_t at_k) {
        floats a = q, b = k, cos(4), sin(4);
        lv::rope_angles(f, at_q, 1, cos.data(), sin.data());
        lv::scalar{}.rope(a.data(), 1, 1, 8, cos.data(), sin.data());
        lv::rope_angles(f, at_k, 1, cos.data(), sin.data());
        lv::scalar{}.rope(b.data(), 1, 1, 8, cos.data(), sin.data());
        double sum = 0;
        for (std::size_t i = 0; i < 8; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        return sum;
    };
    CHECK(score(9, 4) == doctest::Approx(score(105, 100)).epsilon(1e-4));
    CHECK(score(0, 0) == doctest::Approx(score(50, 50)).epsilon(1e-4));
    CHECK(score(9, 4) != doctest::Approx(score(4, 9)).epsilon(1e-4));
}
