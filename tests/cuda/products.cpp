// SPDX-License-Identifier: Apache-2.0
// Products of the cuda backend in its own layouts, and in the sizes of its widest kernels. What tensor cores round:
// activations to 2⁻⁹ of themselves in bfloat16, and so are weights that are unpacked for them.
#include "../backend/backends.hpp"

#include <llamavision/weights/blocks.hpp>

using namespace backends;

namespace {

/// A weight in the layout that the backend makes of it, or as stored, kept in its memory.
template <class B>
struct repacked {
    weight stored;
    std::shared_ptr<std::byte> room;
    lv::matrix view;

    repacked(B const& b, lv::format type, lv::weight_format f, std::size_t rows, std::size_t columns,
             std::uint64_t seed)
        : stored(type, rows, columns, numbers(seed).floats(rows * columns)) {
        auto const& there = b.backend();
        view = stored.view();
        if (f == lv::weight_format::stored) {
            std::size_t const bytes = lv::bytes_of(type, view.size());
            room = there.allocate(bytes);
            there.upload(view.data, bytes, room.get());
            view.data = room.get();
        } else {
            room = there.allocate(there.repacked_bytes(view, f));
            view = there.repack(view, f, room.get());
        }
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
            for (std::size_t rows : {1u, 4u, 5u, 8u, 9u, 16u, 17u, 40u, 64u, 65u})
                for (std::size_t columns : {32u, 160u, 1312u, 84u}) {
                    if (columns % lv::values_per_block(type) != 0) continue;
                    std::size_t const outputs = columns == 160 ? 261 : 37;
                    CAPTURE(lv::name_of(type).data());
                    CAPTURE(lv::name_of(f).data());
                    CAPTURE(rows);
                    CAPTURE(columns);
                    repacked<B> const w(b, type, f, outputs, columns, rows + columns);
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
                    // Few rows: exact but for the weight's own 16 bits. More: x is rounded to them, and with very many
                    // rows blocks' values are as well.
                    bool const whole = blocks && (f == q8 || f == q4);
                    double const bound = whole && rows <= 4 ? 1e-6 : whole && rows <= 64 ? 0x1.02p-9 : 0x1p-8;
                    CHECK(error_of(values, x, bias, rows, outputs, columns, out.values()) < bound);
                }
}

TEST_CASE_TEMPLATE("the cuda backend's fused products are within rounding of their parts", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    auto const& there = b.backend();
    using enum lv::weight_format;
    for (lv::weight_format f : {bf16, q8, q4})
        for (std::size_t rows : {1u, 2u, 7u, 17u, 40u})
            for (std::size_t outputs : {5u, 130u}) {
                CAPTURE(lv::name_of(f).data());
                CAPTURE(rows);
                CAPTURE(outputs);
                std::size_t const columns = 352, size = rows * outputs;
                repacked<B> const gate(b, lv::format::f32, f, outputs, columns, 1),
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

TEST_CASE_TEMPLATE("a norm that a product makes as it reads is the norm before it, within rounding", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    auto const& there = b.backend();
    using enum lv::weight_format;
    for (lv::weight_format f : {stored, bf16, q8, q4})
        for (std::size_t rows : {1u, 2u, 7u, 20u, 70u})
            for (std::size_t columns : {21u, 32u, 84u, 352u})
                for (bool layer : {false, true}) {
                    CAPTURE(lv::name_of(f).data());
                    CAPTURE(rows);
                    CAPTURE(columns);
                    CAPTURE(layer);
                    std::size_t const outputs = 45, size = rows * outputs;
                    repacked<B> const gate(b, lv::format::f32, f, outputs, columns, 1),
                        up(b, lv::format::f32, f, outputs, columns, 2);
                    numbers n(rows + columns);
                    std::vector<float> values = n.floats(rows * columns, 3.0f);
                    for (float& v : values) v += 0.5f; // a mean worth taking off
                    array<B> const x(b, values), made(b, values), bias(b, n.floats(outputs));
                    array<B> const weight(b, n.floats(columns, 0.2f)), shift(b, n.floats(columns, 0.2f));
                    lv::normed const left{x.data(), weight.data(), layer ? shift.data() : nullptr, 1e-3f};
                    if (layer)
                        there.layer_norm(x.data(), rows, columns, weight.data(), shift.data(), 1e-3f, made.data());
                    else
                        there.rms_norm(x.data(), rows, columns, weight.data(), 1e-3f, made.data());
                    std::vector<float> const start(size);
                    array<B> const parts(b, start), whole(b, start);
                    auto const near = [&] {
                        std::vector<float> const expected = parts.values();
                        CHECK(distance(whole.values(), {expected.begin(), expected.end()}, 1.0) < 2e-6);
                    };
                    there.linear(gate.view, bias.data(), made.data(), rows, parts.data());
                    there.linear(gate.view, bias.data(), left, rows, whole.data());
                    near();
                    there.fused_linear_gelu(gate.view, bias.data(), made.data(), rows, parts.data());
                    there.fused_linear_gelu(gate.view, bias.data(), left, rows, whole.data());
                    near();
                    there.fused_swiglu(gate.view, up.view, made.data(), rows, parts.data());
                    there.fused_swiglu(gate.view, up.view, left, rows, whole.data());
                    near();
                }
}

TEST_CASE_TEMPLATE("projections of the same rows are products, and rope, one after the other", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    auto const& there = b.backend();
    using enum lv::weight_format;
    struct formats {
        lv::weight_format q, k, v;
    };
    for (formats const f :
         {formats{stored, stored, stored}, {bf16, bf16, bf16}, {q8, q8, q8}, {q4, q4, q4}, {q4, bf16, q8}})
        for (std::size_t rows : {1u, 3u, 8u, 21u, 70u})
            for (std::size_t columns : {96u, 97u})
                for (std::size_t head_dim : {0u, 6u, 16u})
                    for (std::size_t count : {1u, 3u}) {
                        CAPTURE(lv::name_of(f.q).data());
                        CAPTURE(rows);
                        CAPTURE(columns);
                        CAPTURE(head_dim);
                        CAPTURE(count);
                        std::size_t const outputs[] = {96, 48, 37};
                        repacked<B> const w[] = {{b, lv::format::f32, f.q, outputs[0], columns, 1},
                                                 {b, lv::format::f32, f.k, outputs[1], columns, 2},
                                                 {b, lv::format::f32, f.v, outputs[2], columns, 3}};
                        numbers n(rows + columns);
                        array<B> const x(b, n.floats(rows * columns)), weight(b, n.floats(columns, 0.2f));
                        array<B> const cos(b, n.floats(rows * 8)), sin(b, n.floats(rows * 8));
                        lv::normed const left{x.data(), weight.data(), nullptr, 1e-3f};
                        std::vector<array<B>> parts, whole;
                        std::vector<lv::projection> of;
                        for (std::size_t i = 0; i < count; ++i) {
                            parts.emplace_back(b, std::vector<float>(rows * outputs[i]));
                            whole.emplace_back(b, std::vector<float>(rows * outputs[i]));
                            bool const rotated = head_dim > 0 && i < 2;
                            of.push_back({w[i].view, whole[i].data(), rotated});
                            there.linear(w[i].view, nullptr, left, rows, parts[i].data());
                            if (rotated)
                                there.rope(parts[i].data(), rows, outputs[i] / head_dim, head_dim, cos.data(),
                                           sin.data());
                        }
                        there.fused_projections(of, left, rows, {cos.data(), sin.data(), head_dim});
                        for (std::size_t i = 0; i < count; ++i) {
                            std::vector<float> const expected = parts[i].values();
                            CHECK(distance(whole[i].values(), {expected.begin(), expected.end()}, 1.0) < 2e-6);
                        }
                    }
}
