// SPDX-License-Identifier: Apache-2.0
// Products of the cuda backend in its own layouts, and in the sizes of its widest kernels. What tensor cores round:
// activations to 2⁻⁹ of themselves in bfloat16, and so are weights that are unpacked for them.
#include "../backend/backends.hpp"

#include <llamavision/support/blocks.hpp>

using namespace backends;

namespace {

/// A weight in the layout that the backend makes of it, kept in its memory.
template <class B>
struct laid_out {
    weight stored;
    std::shared_ptr<std::byte> room;
    lv::matrix view;

    laid_out(B const& b, lv::format type, lv::weight_format f, std::size_t rows, std::size_t columns,
             std::uint64_t seed)
        : stored(type, rows, columns, numbers(seed).floats(rows * columns)) {
        auto const& there = b.backend();
        room = there.allocate(there.laid_out_bytes(stored.view(), f));
        view = there.lay_out(stored.view(), f, room.get());
    }
};

/// Values in the backend's memory.
template <class B>
class array {
  public:
    array(B const& b, std::vector<float> const& values) : b_(b.backend()), size_(values.size()) {
        room_ = b_.allocate(size_ * sizeof(float));
        b_.upload(values.data(), size_ * sizeof(float), room_.get());
    }
    [[nodiscard]] float* data() const { return reinterpret_cast<float*>(room_.get()); }
    [[nodiscard]] std::vector<float> values() const {
        std::vector<float> all(size_);
        b_.download(room_.get(), size_ * sizeof(float), all.data());
        return all;
    }

  private:
    decltype(std::declval<B>().backend()) b_;
    std::size_t size_;
    std::shared_ptr<std::byte> room_;
};

/// The largest error of x wᵀ + bias, relative to the sum of the absolute terms; `scale` times what w says.
double error_of(std::vector<float> const& w, std::vector<float> const& x, std::vector<float> const& bias,
                std::size_t rows, std::size_t outputs, std::size_t columns, std::vector<float> const& y) {
    double worst = 0;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t o = 0; o < outputs; ++o) {
            double sum = static_cast<double>(bias[o]), size = std::abs(sum);
            for (std::size_t i = 0; i < columns; ++i) {
                double const p = static_cast<double>(x[r * columns + i]) * static_cast<double>(w[o * columns + i]);
                sum += p;
                size += std::abs(p);
            }
            double const error = std::abs(static_cast<double>(y[r * outputs + o]) - sum) / size;
            if (!(error <= worst)) worst = error;
        }
    return worst;
}

/// What a layout says the weight is.
template <class T>
std::vector<float> through_blocks(std::vector<float> const& values) {
    std::vector<float> all(values.size());
    for (std::size_t i = 0; i < values.size(); i += 32) T::encode(values.data() + i).decode(all.data() + i);
    return all;
}

} // namespace

TEST_CASE_TEMPLATE("products of stored weights in the sizes of the widest kernels", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    for (lv::format type : formats)
        for (std::size_t rows : {1u, 2u, 4u, 5u, 8u, 9u, 33u})
            for (std::size_t outputs : {1u, 8u, 67u})
                for (std::size_t columns : {8u, 32u, 256u, 1288u}) {
                    if (columns % lv::values_per_block(type) != 0) continue;
                    CAPTURE(lv::name_of(type).data());
                    CAPTURE(rows);
                    CAPTURE(outputs);
                    CAPTURE(columns);
                    numbers n(rows + outputs + columns);
                    weight const w(type, outputs, columns, n.floats(outputs * columns));
                    std::vector<float> const x = n.floats(rows * columns), bias = n.floats(outputs);
                    std::vector<float> y(rows * outputs), values(outputs * columns);
                    for (std::size_t i = 0; i < values.size(); ++i)
                        values[i] = static_cast<float>(w.at(i / columns, i % columns));
                    b.linear(w.view(), bias.data(), x.data(), rows, y.data());
                    CHECK(error_of(values, x, bias, rows, outputs, columns, y) < 1e-6);
                }
}

TEST_CASE_TEMPLATE("products of weights in the backend's layouts", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    auto const& there = b.backend();
    using enum lv::weight_format;
    for (lv::format type : formats)
        for (lv::weight_format f : {bf16, i8, q8, q4})
            for (std::size_t rows : {1u, 3u, 8u, 9u, 70u})
                for (std::size_t columns : {32u, 160u, 1312u, 84u}) {
                    if (columns % lv::values_per_block(type) != 0) continue;
                    std::size_t const outputs = columns == 160 ? 261 : 37;
                    CAPTURE(lv::name_of(type).data());
                    CAPTURE(lv::name_of(f).data());
                    CAPTURE(rows);
                    CAPTURE(columns);
                    laid_out<B> const w(b, type, f, outputs, columns, rows + columns);
                    std::vector<float> values(outputs * columns);
                    for (std::size_t i = 0; i < values.size(); ++i)
                        values[i] = static_cast<float>(w.stored.at(i / columns, i % columns));
                    bool const blocks = columns % 32 == 0;
                    if (f == q8 && blocks && type != lv::format::q8) values = through_blocks<lv::q8_0>(values);
                    if (f == q4 && blocks && type != lv::format::q4) values = through_blocks<lv::q4_0>(values);
                    numbers n(rows);
                    std::vector<float> const x = n.floats(rows * columns), bias = n.floats(outputs);
                    array<B> const in(b, x), add(b, bias), out(b, std::vector<float>(rows * outputs));
                    there.linear(w.view, add.data(), in.data(), rows, out.data());
                    // Few rows: exact but for the weight's own 16 bits. Many: x is rounded too, and so are blocks'
                    // values.
                    bool const exact = rows <= 8 && (blocks && (f == q8 || f == q4));
                    CHECK(error_of(values, x, bias, rows, outputs, columns, out.values()) < (exact ? 1e-6 : 0x1p-8));
                }
}

TEST_CASE_TEMPLATE("the cuda backend's fused products are within rounding of their parts", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    auto const& there = b.backend();
    using enum lv::weight_format;
    for (lv::weight_format f : {bf16, q8, q4})
        for (std::size_t rows : {1u, 2u, 7u, 40u})
            for (std::size_t outputs : {5u, 130u}) {
                CAPTURE(lv::name_of(f).data());
                CAPTURE(rows);
                CAPTURE(outputs);
                std::size_t const columns = 352, size = rows * outputs;
                laid_out<B> const gate(b, lv::format::f32, f, outputs, columns, 1),
                    up(b, lv::format::f32, f, outputs, columns, 2);
                numbers n(rows);
                array<B> const x(b, n.floats(rows * columns, 0.1f)), bias(b, n.floats(outputs));
                std::vector<float> const start = n.floats(size);
                array<B> const g(b, start), u(b, start), fused(b, start);
                auto const near = [&](array<B> const& a, array<B> const& other) {
                    std::vector<float> const values = other.values();
                    CHECK(distance(a.values(), {values.begin(), values.end()}, 1.0) < 2e-6);
                };
                there.linear(gate.view, nullptr, x.data(), rows, g.data());
                there.linear(up.view, nullptr, x.data(), rows, u.data());
                there.silu(g.data(), size, g.data());
                there.multiply(g.data(), u.data(), size, g.data());
                there.fused_swiglu(gate.view, up.view, x.data(), rows, fused.data());
                near(g, fused);

                there.linear(gate.view, bias.data(), x.data(), rows, g.data());
                there.gelu(g.data(), size, g.data());
                there.fused_linear_gelu(gate.view, bias.data(), x.data(), rows, fused.data());
                near(g, fused);

                for (float scale : {1.0f, 0.3f})
                    for (float const* c :
                         {static_cast<float const*>(nullptr), static_cast<float const*>(bias.data())}) {
                        array<B> const sum(b, start), other(b, start), part(b, start);
                        there.linear(gate.view, c, x.data(), rows, part.data());
                        there.add_scaled(sum.data(), scale, part.data(), size, sum.data());
                        there.fused_linear_add(gate.view, c, x.data(), rows, scale, other.data());
                        near(sum, other);
                    }
            }
}
