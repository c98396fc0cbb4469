// SPDX-License-Identifier: Apache-2.0
// What the tests of backends share: the list of backends, values to try, and how results are compared.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../cuda/emulation/device.hpp"
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/support/error.hpp>

#include "../support/carried.hpp"

#if defined(LLAMAVISION_CUDA)
#include <llamavision/backend/cuda/cuda.hpp>
#endif

namespace backends {

namespace lv = llamavision;

/// The simd backend on one tier, with so many threads.
template <lv::tier Level, std::size_t Threads>
struct simd_on : lv::simd {
    simd_on() : lv::simd(lv::simd_options{Threads, Level, nullptr}) {}
    static bool usable() {
        if (lv::available(Level)) return true;
        MESSAGE("skipped: this machine has no " << std::string(lv::name_of(Level)));
        return false;
    }
};
struct plain : lv::scalar {
    static bool usable() { return true; }
};
using baseline = simd_on<lv::tier::baseline, 1>;
using baseline_threads = simd_on<lv::tier::baseline, 3>;
using avx2 = simd_on<lv::tier::avx2, 2>;
using avx512 = simd_on<lv::tier::avx512, 1>;
using avx512_threads = simd_on<lv::tier::avx512, 3>;

/// The cuda backend's kernels on the host: with a small workspace, and with none to speak of on a machine of many
/// processors, so that everything is done in pieces.
struct emulated : carried<lv::gpu::device_backend<lv::gpu::emulated_device>> {
    emulated() : emulated(lv::gpu::emulated_options{}) {}
    explicit emulated(lv::gpu::emulated_options o) : carried(lv::gpu::device_backend(lv::gpu::emulated_device(o))) {}
    static bool usable() { return true; }
};
struct emulated_pieces : emulated {
    emulated_pieces() : emulated({std::size_t{1} << 16, 64, lv::gpu::cores::f16}) {}
};
/// On a GPU whose tensor cores no kernel of attention uses.
struct emulated_no_cores : emulated {
    emulated_no_cores() : emulated({std::size_t{1} << 20, 4, lv::gpu::cores::none}) {}
};
#if defined(LLAMAVISION_CUDA)
/// The GPU, where there is one.
struct on_gpu : carried<lv::cuda> {
    static bool usable() {
        if (lv::cuda::devices() > 0) return true;
        MESSAGE("skipped: no device");
        return false;
    }
};
#define ALL_CUDA backends::emulated, backends::emulated_pieces, backends::on_gpu
#else
#define ALL_CUDA backends::emulated, backends::emulated_pieces
#endif

/// Those where a row has the same bits alone and in a batch.
#define STEADY_BACKENDS                                                                                                \
    backends::plain, backends::baseline, backends::baseline_threads, backends::avx2, backends::avx512,                 \
        backends::avx512_threads
#define ALL_BACKENDS STEADY_BACKENDS, ALL_CUDA
#define ALL_SIMD                                                                                                       \
    backends::baseline, backends::baseline_threads, backends::avx2, backends::avx512, backends::avx512_threads

/// The same numbers on every platform: a linear congruential generator (Knuth's MMIX constants).
class numbers {
  public:
    explicit numbers(std::uint64_t seed) : state_(seed * 2654435761u + 12345u) {}
    /// In [-1, 1).
    float next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<float>(static_cast<std::int32_t>(state_ >> 32)) * 0x1p-31f;
    }
    std::vector<float> floats(std::size_t count, float scale = 1.0f) {
        std::vector<float> values(count);
        for (float& v : values) v = scale * next();
        return values;
    }

  private:
    std::uint64_t state_;
};

/// A matrix of any format, with its own storage; `shift` elements or blocks stand before it, so that it is not aligned.
/// @pre whole blocks a row
class weight {
  public:
    weight(lv::format type, std::size_t rows, std::size_t columns, std::vector<float> const& values,
           std::size_t shift = 0)
        : bytes_(lv::bytes_of(type, values.size() + shift * lv::values_per_block(type))), type_(type), rows_(rows),
          columns_(columns), shift_(shift * lv::values_per_block(type)) {
        std::byte* const to = bytes_.data() + lv::bytes_of(type, shift_);
        if (type == lv::format::q8) lv::encode_blocks<lv::q8_0>(values.data(), values.size(), to);
        if (type == lv::format::q4) lv::encode_blocks<lv::q4_0>(values.data(), values.size(), to);
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (type == lv::format::f32) put(i, values[i]);
            if (type == lv::format::f16) put(i, lv::f16::round(values[i]));
            if (type == lv::format::bf16) put(i, lv::bf16::round(values[i]));
        }
    }
    [[nodiscard]] lv::matrix view() const {
        return {bytes_.data() + lv::bytes_of(type_, shift_), type_, rows_, columns_};
    }
    [[nodiscard]] double at(std::size_t row, std::size_t column) const {
        return lv::visit(view(),
                         [&](auto p) { return static_cast<double>(static_cast<float>(p[row * columns_ + column])); });
    }

  private:
    template <class T>
    void put(std::size_t i, T value) {
        std::memcpy(bytes_.data() + (i + shift_) * sizeof(T), &value, sizeof(T));
    }
    std::vector<std::byte> bytes_;
    lv::format type_;
    std::size_t rows_, columns_, shift_;
};

inline constexpr lv::format formats[] = {lv::format::f32, lv::format::f16, lv::format::bf16, lv::format::q8,
                                         lv::format::q4};

/// The next number of columns that the format can have.
inline std::size_t whole(lv::format type, std::size_t columns) {
    std::size_t const block = lv::values_per_block(type);
    return (columns + block - 1) / block * block;
}

/// Whether both are the same bits, NaNs included.
inline bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

/// The largest |a - b| / (|b| + floor).
inline double distance(std::vector<float> const& a, std::vector<double> const& b, double floor) {
    REQUIRE(a.size() == b.size());
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        double const d = std::abs(static_cast<double>(a[i]) - b[i]) / (std::abs(b[i]) + floor);
        if (!(d <= worst)) worst = d; // a NaN stays
    }
    return worst;
}

} // namespace backends

TYPE_TO_STRING(backends::plain);
TYPE_TO_STRING(backends::baseline);
TYPE_TO_STRING(backends::baseline_threads);
TYPE_TO_STRING(backends::avx2);
TYPE_TO_STRING(backends::avx512);
TYPE_TO_STRING(backends::avx512_threads);
TYPE_TO_STRING(backends::emulated);
TYPE_TO_STRING(backends::emulated_pieces);
TYPE_TO_STRING(backends::emulated_no_cores);
#if defined(LLAMAVISION_CUDA)
TYPE_TO_STRING(backends::on_gpu);
#endif
