// SPDX-License-Identifier: Apache-2.0
// How a product is made on a device: few rows by kernels that read the weight once, many rows by the library of
// products, to which a weight in another format is unpacked piece by piece.
//
// Weights as stored meet activations in float, in every number of rows. `bf16_cores`, `f16_cores` and the split blocks
// were laid out for tensor cores: with many rows their activations are rounded to 16 bits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <llamavision/backend/cuda/elementwise.hpp>
#include <llamavision/backend/cuda/many_rows.hpp>
#include <llamavision/backend/cuda/products.hpp>
#include <llamavision/backend/cuda/values.hpp>

namespace llamavision::gpu {

/// Rows that decoding kernels take at once.
inline constexpr std::size_t few = 8;

[[nodiscard]] constexpr bool for_cores(format f) {
    return f == format::bf16_cores || f == format::f16_cores || f == format::q8_split || f == format::q4_split;
}

template <class Device>
class product_words {
  public:
    product_words(Device const& device, std::span<std::byte> workspace) : device_(device), room_(workspace) {}

    /// y (rows, w.rows) = what `then` makes of x wᵀ.
    void linear(matrix const& w, finish const& then, float const* x, std::size_t rows, float* y) const {
        if (rows == 0 || w.rows == 0) return;
        if (rows <= few || w.columns == 0)
            few_at_once({x, rows, w.columns, w.rows, then, y}, w);
        else
            many_at_once(w, then, x, rows, y);
    }

    void swiglu(matrix const& gate, matrix const& up, float const* x, std::size_t rows, float* y) const {
        if (rows == 0 || gate.rows == 0) return;
        if (rows <= few && gate.type == up.type && lies_well(gate, x) && lies_well(up, x)
            && fused_swiglu({x, rows, gate.columns, gate.rows, {}, y}, gate, up))
            return;
        std::size_t const piece = std::max<std::size_t>(room_.size() / 4 / (gate.rows * sizeof(float)), 1);
        auto* const second = reinterpret_cast<float*>(room_.data());
        std::size_t const taken = divided_up(std::min(piece, rows) * gate.rows * sizeof(float), 256) * 256;
        product_words const rest(device_, room_.subspan(taken));
        for (std::size_t r = 0; r < rows; r += piece) {
            std::size_t const n = std::min(piece, rows - r);
            float* const to = y + r * gate.rows;
            rest.linear(gate, {}, x + r * gate.columns, n, to);
            rest.linear(up, {}, x + r * gate.columns, n, second);
            each(gate_values{{n * gate.rows}, to, second, to});
        }
    }

  private:
    template <class Kernel>
    void each(Kernel const& kernel) const {
        if (kernel.count > 0) device_.launch(kernel, kernel.blocks());
    }

    static bool lies_well(matrix const& w, float const* x) {
        auto const aligned = [](void const* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; };
        return w.columns > 0 && w.columns % (w.type == format::q8_split || w.type == format::q4_split ? 32 : 8) == 0
               && aligned(w.data) && aligned(x);
    }

    void few_at_once(few_rows const& of, matrix const& w) const {
        visit_values(w, [&]<class Values>(Values values) {
            if constexpr (in_eights<Values>)
                if (lies_well(w, of.x)) {
                    if (of.rows == 1)
                        wide<Values, 1, outputs_for<Values>>(values, of);
                    else if (of.rows <= 4)
                        wide<Values, 4, 2>(values, of);
                    else
                        wide<Values, 8, 2>(values, of);
                    return;
                }
            narrow_product<Values> const kernel{values, of};
            device_.launch(kernel, kernel.blocks());
        });
    }
    template <class Values, unsigned Rows, unsigned Outputs>
    void wide(Values values, few_rows const& of) const {
        wide_product<Values, Rows, Outputs> const kernel{values, of};
        device_.launch(kernel, kernel.blocks());
    }

    bool fused_swiglu(few_rows const& of, matrix const& gate, matrix const& up) const {
        bool done = false;
        visit_values(gate, [&]<class Values>(Values g) {
            if constexpr (in_eights<Values>) {
                done = true;
                Values u;
                visit_values(up, [&]<class Other>(Other other) {
                    if constexpr (std::is_same_v<Other, Values>) u = other;
                });
                if (of.rows == 1)
                    fused<Values, 1>(g, u, of);
                else if (of.rows <= 4)
                    fused<Values, 4>(g, u, of);
                else
                    fused<Values, 8>(g, u, of);
            }
        });
        return done;
    }
    template <class Values, unsigned Rows>
    void fused(Values gate, Values up, few_rows const& of) const {
        wide_swiglu<Values, Rows> const kernel{gate, up, of};
        device_.launch(kernel, kernel.blocks());
    }

    void many_at_once(matrix const& w, finish const& then, float const* x, std::size_t rows, float* y) const {
        switch (w.type) {
        case format::bf16_cores: return rounded<bf16>(format::bf16, w, then, x, rows, y);
        case format::f16_cores: return rounded<f16>(format::f16, w, then, x, rows, y);
        case format::q8_split:
        case format::q4_split:
            return device_.tensor_cores() ? rounded<bf16>(format::bf16, w, then, x, rows, y)
                                          : rounded<f16>(format::f16, w, then, x, rows, y);
        default: return pieces<float>(room_, format::f32, w, then, x, rows, y);
        }
    }

    /// Rounds x, as many rows at a time as fit into half of the workspace.
    template <class T>
    void rounded(format type, matrix const& w, finish const& then, float const* x, std::size_t rows, float* y) const {
        std::size_t const half = room_.size() / 512 * 256, row = w.columns * sizeof(T);
        std::size_t const piece = std::max<std::size_t>(half / row, 1);
        auto* const there = reinterpret_cast<T*>(room_.data());
        for (std::size_t r = 0; r < rows; r += piece) {
            std::size_t const n = std::min(piece, rows - r), count = n * w.columns;
            each(unpack_values<f32_values, T>{{count}, {x + r * w.columns}, 0, there});
            pieces<T>(room_.subspan(half), type, w, then, there, n, y + r * w.rows);
        }
    }

    /// The product of rows of x in T; the weight's rows become T, as many at a time as fit into the workspace.
    template <class T>
    void pieces(std::span<std::byte> room, format type, matrix const& w, finish const& then, T const* x,
                std::size_t rows, float* y) const {
        bool const as_it_is = w.type == type || (w.type == format::bf16_cores && type == format::bf16)
                              || (w.type == format::f16_cores && type == format::f16);
        std::size_t const piece = as_it_is ? w.rows : std::max<std::size_t>(room.size() / (w.columns * sizeof(T)), 1);
        for (std::size_t o = 0; o < w.rows; o += piece) {
            std::size_t const n = std::min(piece, w.rows - o);
            auto* const there = reinterpret_cast<T*>(room.data());
            if (!as_it_is)
                visit_values(w, [&](auto values) {
                    each(unpack_values<decltype(values), T>{{n * w.columns}, values, o * w.columns, there});
                });
            many_rows product;
            product.type = type;
            product.w = as_it_is ? w.data : there;
            product.x = x;
            product.outputs = n;
            product.rows = rows;
            product.columns = w.columns;
            product.y = y + o;
            product.stride = w.rows;
            // What the library adds is not scaled: y + scale (x wᵀ + bias) is its own only where one of both is absent.
            product.add = then.how == finish::kind::add;
            product.scale = product.add ? then.scale : 1.0f;
            bool const bias_apart = then.bias && product.scale != 1.0f;
            if (then.bias && !bias_apart) product.bias = then.bias + o;
            device_.multiply(product);
        }
        if (then.bias && then.how == finish::kind::add && then.scale != 1.0f)
            each(add_values{{rows * w.rows}, y, then.bias, then.scale, w.rows, y});
        if (then.how == finish::kind::gelu) each(gelu_values{{rows * w.rows}, y, y});
    }

    Device const& device_;
    std::span<std::byte> room_;
};

} // namespace llamavision::gpu
