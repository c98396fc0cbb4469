// SPDX-License-Identifier: Apache-2.0
// How a product is made on a device: few rows by kernels that read the weight once, many rows by the library of
// products, to which a weight in another format is unpacked piece by piece.
//
// Weights as stored meet activations in float, in every number of rows. `bf16_cores`, `f16_cores` and the split blocks
// were laid out for tensor cores: with many rows their activations are rounded to 16 bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <llamavision/backend/cuda/elementwise.hpp>
#include <llamavision/backend/cuda/many_rows.hpp>
#include <llamavision/backend/cuda/norms.hpp>
#include <llamavision/backend/cuda/products.hpp>
#include <llamavision/backend/cuda/values.hpp>
#include <llamavision/backend/products.hpp>

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
    void linear(matrix const& w, finish const& then, normed const& x, std::size_t rows, float* y) const {
        one const only{w, then, y, false};
        linears({&only, 1}, x, rows, {});
    }

    /// One of several products of the same rows.
    struct one {
        matrix w;
        finish then;
        float* y;
        bool turned;
    };
    static constexpr std::size_t most = 3;

    /// @pre at most three, equally wide
    void linears(std::span<one const> of, normed const& x, std::size_t rows, turn const& by) const {
        if (rows == 0 || of.empty()) return;
        if (rows <= few || of[0].w.columns == 0)
            few_at_once(of, x, rows, by);
        else
            many_at_once(of, x, rows, by);
    }

    void swiglu(matrix const& gate, matrix const& up, normed const& x, std::size_t rows, float* y) const {
        if (rows == 0 || gate.rows == 0) return;
        if (rows <= few && gate.type == up.type && lies_well(gate, x) && lies_well(up, x)
            && fused_swiglu(few_rows{x.x, rows, gate.columns, x.weight, x.eps}, gate, up, y))
            return;
        std::size_t const piece = std::max<std::size_t>(room_.size() / 4 / (gate.rows * sizeof(float)), 1);
        auto* const second = reinterpret_cast<float*>(room_.data());
        std::size_t const taken = divided_up(std::min(piece, rows) * gate.rows * sizeof(float), 256) * 256;
        product_words const rest(device_, room_.subspan(taken));
        for (std::size_t r = 0; r < rows; r += piece) {
            std::size_t const n = std::min(piece, rows - r);
            float* const to = y + r * gate.rows;
            std::array const both{one{gate, {}, to, false}, one{up, {}, second, false}};
            rest.linears(both, from(x, r, gate.columns), n, {});
            each(gate_values{{n * gate.rows}, to, second, to});
        }
    }

    /// y = the norm of x, in the type that a product reads.
    template <class To>
    void norm(normed const& x, std::size_t rows, std::size_t width, To* y) const {
        if (rows == 0) return;
        if (x.bias)
            device_.launch(layer_norm_rows<To>{x.x, width, x.weight, x.bias, x.eps, y}, {rows});
        else
            device_.launch(rms_norm_rows<To>{x.x, width, x.weight, x.eps, y}, {rows});
    }

  private:
    template <class Kernel>
    void each(Kernel const& kernel) const {
        if (kernel.count > 0) device_.launch(kernel, kernel.blocks());
    }

    /// From row r on.
    static normed from(normed const& x, std::size_t r, std::size_t width) {
        return {x.x + r * width, x.weight, x.bias, x.eps};
    }

    /// For eight values at a time; a layer_norm takes more sums than a warp makes beside a product.
    static bool lies_well(matrix const& w, normed const& x) {
        auto const aligned = [](void const* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; };
        return w.columns > 0 && w.columns % (w.type == format::q8_split || w.type == format::q4_split ? 32 : 8) == 0
               && aligned(w.data) && aligned(x.x) && aligned(x.weight) && !x.bias;
    }

    void few_at_once(std::span<one const> of, normed const& x, std::size_t rows, turn const& by) const {
        std::size_t const columns = of[0].w.columns;
        if (x.bias) {
            auto* const there = reinterpret_cast<float*>(room_.data());
            std::size_t const piece = std::max<std::size_t>(room_.size() / (columns * sizeof(float)), 1);
            for (std::size_t r = 0; r < rows; r += piece) {
                std::size_t const n = std::min(piece, rows - r);
                norm(from(x, r, columns), n, columns, there);
                few_at_once(below(of, r), there, n, below(by, r));
            }
            return;
        }
        few_rows const in{x.x, rows, columns, x.weight, x.eps};
        bool const together = std::all_of(of.begin(), of.end(), [&](one const& o) {
            return o.w.type == of[0].w.type && o.w.rows > 0 && lies_well(o.w, x);
        });
        bool done = false;
        if (together)
            visit_values(of[0].w, [&]<class Values>(Values) {
                if constexpr (in_eights<Values>) {
                    done = true;
                    if (rows == 1)
                        wide<Values, 1, outputs_for<Values>>(of, in, by);
                    else if (rows <= 4)
                        wide<Values, 4, 2>(of, in, by);
                    else
                        wide<Values, 8, 2>(of, in, by);
                }
            });
        if (done) return;
        for (one const& o : of) {
            if (o.w.rows == 0) continue;
            visit_values(o.w, [&]<class Values>(Values values) {
                narrow_product<Values> const kernel{in, {values, o.w.rows, o.then, o.y}};
                device_.launch(kernel, kernel.blocks());
            });
            turn_after(o, rows, by);
        }
    }
    template <class Values, unsigned Rows, unsigned Outputs>
    void wide(std::span<one const> of, few_rows const& in, turn const& by) const {
        wide_product<Values, Rows, Outputs> kernel{in, {}, 0, {by.cos, by.sin}};
        for (one const& o : of)
            kernel.add({values_as<Values>(o.w), o.w.rows, o.then, o.y,
                        o.turned ? static_cast<std::uint32_t>(by.head_dim / 2) : 0});
        device_.launch(kernel, kernel.blocks());
    }

    bool fused_swiglu(few_rows const& in, matrix const& gate, matrix const& up, float* y) const {
        bool done = false;
        visit_values(gate, [&]<class Values>(Values g) {
            if constexpr (in_eights<Values>) {
                done = true;
                Values const u = values_as<Values>(up);
                if (in.rows == 1)
                    fused<Values, 1>(in, g, u, gate.rows, y);
                else if (in.rows <= 4)
                    fused<Values, 4>(in, g, u, gate.rows, y);
                else
                    fused<Values, 8>(in, g, u, gate.rows, y);
            }
        });
        return done;
    }
    template <class Values, unsigned Rows>
    void fused(few_rows const& in, Values gate, Values up, std::size_t outputs, float* y) const {
        wide_swiglu<Values, Rows> const kernel{in, gate, up, outputs, y};
        device_.launch(kernel, kernel.blocks());
    }

    void turn_after(one const& o, std::size_t rows, turn const& by) const {
        if (!o.turned) return;
        std::size_t const half = by.head_dim / 2, heads = o.w.rows / by.head_dim;
        each(turn_pairs{{rows * heads * half}, o.y, by.cos, by.sin, heads, half});
    }
    /// The same products and angles, from row r on.
    class lower {
      public:
        lower(std::span<one const> of, std::size_t r) : count_(of.size()) {
            for (std::size_t i = 0; i < count_; ++i) {
                products_[i] = of[i];
                products_[i].y += r * of[i].w.rows;
            }
        }
        operator std::span<one const>() const { return {products_.data(), count_}; } // NOLINT

      private:
        std::array<one, most> products_{};
        std::size_t count_;
    };
    static lower below(std::span<one const> of, std::size_t r) { return {of, r}; }
    static turn below(turn const& by, std::size_t r) {
        std::size_t const half = by.head_dim / 2;
        return {by.cos + r * half, by.sin + r * half, by.head_dim};
    }

    /// What activations become for a weight's product of many rows.
    [[nodiscard]] format read_as(matrix const& w) const {
        switch (w.type) {
        case format::bf16_cores: return format::bf16;
        case format::f16_cores: return format::f16;
        case format::q8_split:
        case format::q4_split: return device_.tensor_cores() == cores::bf16 ? format::bf16 : format::f16;
        default: return format::f32;
        }
    }

    /// Products that read the same type read the same rows of it.
    void many_at_once(std::span<one const> of, normed const& x, std::size_t rows, turn const& by) const {
        for (std::size_t i = 0, end = 0; i < of.size(); i = end) {
            format const type = read_as(of[i].w);
            for (end = i + 1; end < of.size() && read_as(of[end].w) == type;) ++end;
            auto const alike = of.subspan(i, end - i);
            if (type == format::bf16)
                prepared<bf16>(type, alike, x, rows);
            else if (type == format::f16)
                prepared<f16>(type, alike, x, rows);
            else if (x.weight)
                prepared<float>(type, alike, x, rows);
            else
                for (one const& o : alike) pieces<float>(room_, type, o.w, o.then, x.x, rows, o.y);
        }
        for (one const& o : of) turn_after(o, rows, by);
    }

    /// The norm of x, or x itself, in T, as many rows at a time as fit into half of the workspace; then the products.
    template <class T>
    void prepared(format type, std::span<one const> of, normed const& x, std::size_t rows) const {
        std::size_t const columns = of[0].w.columns, half = room_.size() / 512 * 256, row = columns * sizeof(T);
        std::size_t const piece = std::max<std::size_t>(half / row, 1);
        auto* const there = reinterpret_cast<T*>(room_.data());
        for (std::size_t r = 0; r < rows; r += piece) {
            std::size_t const n = std::min(piece, rows - r), count = n * columns;
            if (x.weight)
                norm(from(x, r, columns), n, columns, there);
            else
                each(unpack_values<f32_values, T>{{count}, {x.x + r * columns}, 0, there});
            for (one const& o : of)
                if (o.w.rows > 0) pieces<T>(room_.subspan(half), type, o.w, o.then, there, n, o.y + r * o.w.rows);
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
