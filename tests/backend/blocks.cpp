// SPDX-License-Identifier: Apache-2.0
// Products with panels of blocks, on every set of kernels that this machine runs: exact where integers are, within what
// the rounding of activations costs elsewhere, and the same bits alone, in batches and on any number of threads.
#include "backends.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include <llamavision/backend/simd/blocks/products.hpp>
#include <llamavision/backend/simd/tiers/baseline.hpp>

using namespace backends;
namespace blocks = llamavision::blocks;

namespace {

struct kernels {
    std::string name;
    blocks::block_table const& table;
};

std::vector<kernels> all_kernels() {
    std::vector<kernels> all;
    for (lv::tier level : lv::all_tiers)
        for (bool vnni : {false, true}) {
            if (!lv::available(level) || (vnni && !blocks::has_vnni(level))) continue;
            blocks::block_table const& table = blocks::table_of(level, vnni); // several tiers may share one
            if (std::none_of(all.begin(), all.end(), [&](kernels const& k) { return &k.table == &table; }))
                all.push_back({std::string(lv::name_of(level)) + (vnni ? " with dot products" : ""), table});
        }
    return all;
}

/// Kernels that widen 16-bit weights.
lv::kernel_table const& widening() { return lv::baseline::table; }

/// A matrix as panels, and what it stands for.
class panelled {
  public:
    panelled(lv::thread_pool& pool, lv::matrix const& stored, lv::weight_format f)
        : lines_(blocks::repacked_bytes(stored, f) / 64),
          view_(blocks::repack(pool, widening(), stored, f, reinterpret_cast<std::byte*>(lines_.data()))),
          values_(stored.size()) {
        bool const copied = stored.type == lv::format::q8 || stored.type == lv::format::q4;
        lv::scalar{}.widen(stored, 0, stored.size(), values_.data());
        if (!copied)
            for (std::size_t i = 0; i < values_.size(); i += 32)
                f == lv::weight_format::q8 ? lv::q8_0::encode(&values_[i]).decode(&values_[i])
                                           : lv::q4_0::encode(&values_[i]).decode(&values_[i]);
    }
    [[nodiscard]] lv::matrix const& view() const { return view_; }
    [[nodiscard]] double at(std::size_t row, std::size_t column) const {
        return static_cast<double>(values_[row * view_.columns + column]);
    }

  private:
    struct alignas(64) line {
        std::byte bytes[64];
    };
    std::vector<line> lines_;
    lv::matrix view_;
    std::vector<float> values_;
};

constexpr lv::weight_format both[] = {lv::weight_format::q8, lv::weight_format::q4};

/// The largest error of y as a part of what is allowed: half a step of 1/127 of its block's largest magnitude for each
/// activation, and 1e-6 of the absolute terms for the order of additions.
double error(panelled const& w, float const* bias, std::vector<float> const& x, std::size_t rows, float const* y) {
    std::size_t const outputs = w.view().rows, columns = w.view().columns;
    double worst = 0;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t o = 0; o < outputs; ++o) {
            double sum = bias ? static_cast<double>(bias[o]) : 0.0, size = std::abs(sum), lost = 0;
            for (std::size_t b = 0; b < columns; b += 32) {
                double largest = 0, weights = 0;
                for (std::size_t k = b; k < b + 32; ++k) {
                    double const a = static_cast<double>(x[r * columns + k]), v = w.at(o, k);
                    sum += a * v;
                    size += std::abs(a * v);
                    largest = std::max(largest, std::abs(a));
                    weights += std::abs(v);
                }
                lost += largest / 254 * weights;
            }
            double const e =
                std::abs(static_cast<double>(y[r * outputs + o]) - sum) / (lost * 1.00001 + 1e-6 * size + 1e-30);
            if (!(e <= worst)) worst = e;
        }
    return worst;
}

/// Every x is a whole number, and every block has one of magnitude 127, so that rounding keeps them.
std::vector<float> whole_activations(numbers& n, std::size_t count) {
    std::vector<float> x(count);
    for (std::size_t i = 0; i < count; ++i) x[i] = i % 32 == 7 ? 127.0f : std::round(126.0f * n.next());
    return x;
}

} // namespace

TEST_CASE("blocks: products of integers are exact, at the ends of their ranges too") {
    lv::thread_pool pool(1);
    for (kernels const& k : all_kernels()) {
        CAPTURE(k.name);
        for (bool extreme : {false, true})
            for (std::size_t rows : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 11u, 12u, 13u, 17u, 18u, 100u})
                for (std::size_t columns : {32u, 96u, 512u, 544u, 1056u})
                    for (std::size_t outputs : {1u, 16u, 37u}) {
                        CAPTURE(rows);
                        CAPTURE(columns);
                        CAPTURE(outputs);
                        numbers n(rows + columns + outputs);
                        std::vector<lv::q8_0> eight(outputs * columns / 32);
                        std::vector<lv::q4_0> four(eight.size());
                        auto const draw = [&](float most) {
                            float const v = n.next();
                            return extreme ? (v < 0 ? -1.0f : most / (most + 1)) * (most + 1) : std::round(v * most);
                        };
                        for (std::size_t i = 0; i < eight.size(); ++i) {
                            eight[i].scale = four[i].scale = lv::f16::round(i % 3 == 0 ? 0.5f : 1.0f);
                            for (auto& q : eight[i].quants) q = static_cast<std::int8_t>(draw(127));
                            for (auto& p : four[i].pairs)
                                p = static_cast<std::uint8_t>((static_cast<int>(draw(7)) + 8)
                                                              | (static_cast<int>(draw(7)) + 8) << 4);
                        }
                        std::vector<float> x = whole_activations(n, rows * columns);
                        if (extreme)
                            for (float& v : x) v = v < 0 ? -127.0f : 127.0f;
                        for (lv::weight_format f : both) {
                            lv::matrix const stored = f == lv::weight_format::q8
                                                          ? lv::matrix{eight.data(), lv::format::q8, outputs, columns}
                                                          : lv::matrix{four.data(), lv::format::q4, outputs, columns};
                            panelled const w(pool, stored, f);
                            std::vector<float> y(rows * outputs), wanted(rows * outputs);
                            blocks::linear(pool, k.table, w.view(), nullptr, x.data(), rows, y.data());
                            lv::scalar{}.linear(stored, nullptr, x.data(), rows, wanted.data());
                            // Sums of half integers: exact in float up to 2^23.
                            CHECK(std::all_of(wanted.begin(), wanted.end(),
                                              [](float v) { return std::abs(v) < 0x1p23f; }));
                            CHECK(same_bits(y, wanted));
                        }
                    }
    }
}

TEST_CASE("blocks: a product loses no more than the rounding of its activations") {
    lv::thread_pool pool(2);
    for (kernels const& k : all_kernels()) {
        CAPTURE(k.name);
        for (lv::weight_format f : both)
            for (lv::format type : formats)
                for (std::size_t rows : {1u, 6u, 20u}) {
                    CAPTURE(lv::name_of(type).data());
                    CAPTURE(rows);
                    std::size_t const outputs = 83, columns = 1312;
                    numbers n(rows);
                    weight const stored(type, outputs, columns, n.floats(outputs * columns));
                    panelled const w(pool, stored.view(), f);
                    std::vector<float> x = n.floats(rows * columns);
                    for (std::size_t i = 0; i < x.size(); i += 37) x[i] *= 20; // some blocks have outliers
                    std::vector<float> const bias = n.floats(outputs);
                    std::vector<float> y(rows * outputs + 1, 777.0f);
                    blocks::linear(pool, k.table, w.view(), bias.data(), x.data(), rows, y.data());
                    double const e = error(w, bias.data(), x, rows, y.data());
                    CHECK(e < 1);
                    CHECK(e > 1e-4); // or the bound would be no bound
                    CHECK(y.back() == 777.0f);
                }
    }
}

TEST_CASE("blocks: a row has the same bits alone, among others, and on any number of threads") {
    for (kernels const& k : all_kernels()) {
        CAPTURE(k.name);
        for (lv::weight_format f : both) {
            std::size_t const rows = 103, outputs = 75, columns = 2592;
            numbers n(columns);
            lv::thread_pool one(1);
            weight const stored(lv::format::bf16, outputs, columns, n.floats(outputs * columns));
            panelled const w(one, stored.view(), f);
            std::vector<float> const x = n.floats(rows * columns), bias = n.floats(outputs);
            std::vector<float> batch(rows * outputs), other(rows * outputs);
            blocks::linear(one, k.table, w.view(), bias.data(), x.data(), rows, batch.data());
            for (std::size_t at_once : {1u, 3u, 10u, 13u}) {
                for (std::size_t r = 0; r < rows; r += at_once)
                    blocks::linear(one, k.table, w.view(), bias.data(), x.data() + r * columns,
                                   std::min(at_once, rows - r), other.data() + r * outputs);
                CHECK(same_bits(batch, other));
            }
            for (std::size_t threads : {2u, 3u, 7u}) {
                lv::thread_pool pool(threads);
                panelled const again(pool, stored.view(), f);
                blocks::linear(pool, k.table, again.view(), bias.data(), x.data(), rows, other.data());
                CHECK(same_bits(batch, other));
            }
        }
    }
}

TEST_CASE("blocks: the fused kernels give the bits of their parts") {
    lv::thread_pool pool(2);
    lv::simd const b(1);
    for (kernels const& k : all_kernels()) {
        CAPTURE(k.name);
        for (lv::weight_format f : both)
            for (std::size_t rows : {1u, 2u, 12u, 100u})
                for (std::size_t outputs : {1u, 67u, 900u}) {
                    CAPTURE(rows);
                    CAPTURE(outputs);
                    std::size_t const columns = 288, size = rows * outputs;
                    numbers n(rows + outputs);
                    weight const stored_gate(lv::format::f32, outputs, columns, n.floats(outputs * columns));
                    weight const stored_up(lv::format::f32, outputs, columns, n.floats(outputs * columns));
                    panelled const gate(pool, stored_gate.view(), f), up(pool, stored_up.view(), f);
                    std::vector<float> const x = n.floats(rows * columns), bias = n.floats(outputs);
                    std::vector<float> g(size), u(size), fused(size);
                    blocks::linear(pool, k.table, gate.view(), nullptr, x.data(), rows, g.data());
                    blocks::linear(pool, k.table, up.view(), nullptr, x.data(), rows, u.data());
                    b.silu(g.data(), size, g.data());
                    b.multiply(g.data(), u.data(), size, g.data());
                    blocks::swiglu(pool, k.table, gate.view(), up.view(), x.data(), rows, fused.data());
                    CHECK(same_bits(g, fused));

                    std::vector<float> terms(size), sum = n.floats(size), fused_sum = sum;
                    blocks::linear(pool, k.table, gate.view(), bias.data(), x.data(), rows, terms.data());
                    b.add_scaled(sum.data(), 0.3f, terms.data(), size, sum.data());
                    blocks::linear_add(pool, k.table, gate.view(), bias.data(), x.data(), rows, 0.3f, fused_sum.data());
                    CHECK(same_bits(sum, fused_sum));
                }
    }
}

TEST_CASE("blocks: what the backend lays out, it multiplies with the kernels of its tier") {
    std::size_t const rows = 5, outputs = 40, columns = 96, size = rows * outputs;
    numbers n(3);
    weight const stored(lv::format::f16, outputs, columns, n.floats(outputs * columns));
    std::vector<float> const x = n.floats(rows * columns), bias = n.floats(outputs);
    for (lv::tier level : lv::all_tiers)
        for (lv::weight_format f : both)
            if (lv::available(level)) {
                CAPTURE(std::string(lv::name_of(level)));
                lv::simd const b(lv::simd_options{2, level, nullptr});
                blocks::block_table const& table = blocks::table_of(level, blocks::has_vnni(level));
                panelled const w(*b.pool(), stored.view(), f);
                CHECK(b.repacked_bytes(stored.view(), f) == blocks::repacked_bytes(stored.view(), f));
                std::vector<lv::q8_0> room(b.repacked_bytes(stored.view(), f) / sizeof(lv::q8_0) + 4);
                auto* const to = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(room.data()) + 63)
                                                              & ~std::uintptr_t{63});
                lv::matrix const laid = b.repack(stored.view(), f, to);
                std::vector<float> one(size), other(size);
                b.linear(laid, bias.data(), x.data(), rows, one.data());
                blocks::linear(*b.pool(), table, w.view(), bias.data(), x.data(), rows, other.data());
                CHECK(same_bits(one, other));
                b.fused_swiglu(laid, laid, x.data(), rows, one.data());
                blocks::swiglu(*b.pool(), table, w.view(), w.view(), x.data(), rows, other.data());
                CHECK(same_bits(one, other));
                b.fused_linear_add(laid, bias.data(), x.data(), rows, 0.5f, one.data());
                blocks::linear_add(*b.pool(), table, w.view(), bias.data(), x.data(), rows, 0.5f, other.data());
                CHECK(same_bits(one, other));
            }
}

TEST_CASE("blocks: zeros, tiny and large activations, and those that are no numbers") {
    lv::thread_pool pool(1);
    std::size_t const columns = 64, outputs = 3;
    numbers n(8);
    weight const stored(lv::format::f32, outputs, columns, n.floats(outputs * columns));
    for (kernels const& k : all_kernels())
        for (lv::weight_format f : both) {
            CAPTURE(k.name);
            panelled const w(pool, stored.view(), f);
            std::vector<float> y(outputs);
            for (float scale : {0.0f, 1e-25f, 1e-10f, 1e10f, 1e30f}) {
                CAPTURE(scale);
                std::vector<float> const x = n.floats(columns, scale);
                blocks::linear(pool, k.table, w.view(), nullptr, x.data(), 1, y.data());
                CHECK(error(w, nullptr, x, 1, y.data()) < 1);
            }
            std::vector<float> const tiny = n.floats(columns, 1e-35f);
            blocks::linear(pool, k.table, w.view(), nullptr, tiny.data(), 1, y.data());
            for (float v : y) CHECK(std::abs(v) < 1e-33f);
            for (float odd : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
                std::vector<float> x = n.floats(columns);
                x[40] = -odd;
                blocks::linear(pool, k.table, w.view(), nullptr, x.data(), 1, y.data());
                for (float v : y) CHECK(std::isnan(v));
            }
        }
}

TEST_CASE("blocks: what can be laid out") {
    lv::matrix const narrow{nullptr, lv::format::f32, 16, 48}, wide{nullptr, lv::format::f32, 17, 96};
    CHECK(blocks::repacked_bytes(narrow, lv::weight_format::q8) == 0);
    CHECK(blocks::repacked_bytes(wide, lv::weight_format::bf16) == 0);
    // Two panels of three blocks, each with 16 scales, on whole cache lines.
    CHECK(blocks::repacked_bytes(wide, lv::weight_format::q8) == 2 * (3 * (512 + 32) + 32));
    CHECK(blocks::repacked_bytes(wide, lv::weight_format::q4) == 2 * (3 * (256 + 32) + 32));
}
