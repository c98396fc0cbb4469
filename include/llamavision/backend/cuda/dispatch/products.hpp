// SPDX-License-Identifier: Apache-2.0
// How a product is computed on a device. Few rows: by kernels that read the weight once, in float. A batch of rows and
// a weight in q8 or q4: by tensor cores, which also read the weight once. Many rows: by the library of products, for
// which weights in other formats are unpacked piece by piece.
//
// Weights in a stored format are multiplied with activations in float, for every number of rows. Weights in this
// backend's layouts are multiplied with activations rounded to 16 bits, except for few rows.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <llamavision/backend/cuda/kernels/batch_products.hpp>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/backend/cuda/kernels/many_rows.hpp>
#include <llamavision/backend/cuda/kernels/norms.hpp>
#include <llamavision/backend/cuda/kernels/products.hpp>
#include <llamavision/backend/cuda/kernels/values.hpp>
#include <llamavision/backend/products.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision::gpu {

/// The most rows that the kernels for few rows take.
inline constexpr std::size_t few = 8;
/// The same for weights in q8 and q4, if there are tensor cores. In one clock a processor reads 9 to 15 bytes (A100,
/// H200), which are 16 to 26 weights of 4 bits, and makes 64 to 128 products in float: with more than four rows the
/// products would take longer than the reading.
inline constexpr std::size_t few_for_blocks = 4;
/// The most rows that `batch_product` takes. Let r be the rows, B the bandwidth, R the rate of tensor cores, and e the
/// share of R that this kernel reaches. It takes max(b / B, 2r / eR) for a weight of b bytes. Unpacking moves b + 2
/// bytes, and the library's product reads 2 bytes and takes 2r / R. With e = 1/4 and b = 9/16 the kernel is faster up
/// to r = (b + 4) / 6 · R / B: 119 on an A100, 157 on an H200.
inline constexpr std::size_t batch = 64;

template <class Device>
class product_dispatch {
  public:
    product_dispatch(Device const& device, std::span<std::byte> workspace) : device_(device), room_(workspace) {}

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
        bool rotated;
    };
    static constexpr std::size_t most = 3;

    /// @pre at most three, equally wide
    void linears(std::span<one const> of, normed const& x, std::size_t rows, rotation const& by) const {
        if (rows == 0) return;
        for (std::size_t i = 0, end = 0; i < of.size(); i = end) {
            matrix const& w = of[i].w;
            bool const is_few = takes_few(w, rows);
            auto const goes_along = [&](matrix const& other) {
                return takes_few(other, rows) == is_few
                       && (is_few ? other.is_stored_as(w) : read_as(other) == read_as(w));
            };
            for (end = i + 1; end < of.size() && goes_along(of[end].w);) ++end;
            is_few ? few_at_once(of.subspan(i, end - i), x, rows, by)
                   : many_at_once(of.subspan(i, end - i), x, rows, by);
        }
    }

    void swiglu(matrix const& gate, matrix const& up, normed const& x, std::size_t rows, float* y) const {
        if (rows == 0 || gate.rows == 0) return;
        if (takes_few(gate, rows) && gate.is_stored_as(up) && lies_well(gate, x) && lies_well(up, x)
            && fused_swiglu(few_rows{x.x, rows, gate.columns, x.weight, x.eps}, gate, up, y))
            return;
        if (gate.is_stored_as(up) && takes_batch(gate, rows) && takes_batch(up, rows))
            return batch_swiglu(gate, up, x, rows, y);
        std::size_t const piece = std::max<std::size_t>(room_.size() / 4 / (gate.rows * sizeof(float)), 1);
        auto* const second = reinterpret_cast<float*>(room_.data());
        std::size_t const taken = round_up(std::min(piece, rows) * gate.rows * sizeof(float), 256);
        product_dispatch const rest(device_, room_.subspan(taken));
        for (std::size_t r = 0; r < rows; r += piece) {
            std::size_t const n = std::min(piece, rows - r);
            float* const to = y + r * gate.rows;
            std::array const both{one{gate, {}, to, false}, one{up, {}, second, false}};
            rest.linears(both, from(x, r, gate.columns), n, {});
            each(gate_values{{n * gate.rows}, to, second, to});
        }
    }

    /// y = the norm of x, in the type that the product reads.
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

    /// The rows from row r on.
    static normed from(normed const& x, std::size_t r, std::size_t width) {
        return {x.x + r * width, x.weight, x.bias, x.eps};
    }

    static bool aligned(void const* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }
    /// Whether kernels may read eight values at a time. A layer_norm is left out: it needs more sums than a warp makes
    /// beside a product.
    static bool lies_well(matrix const& w, normed const& x) {
        return w.columns > 0 && w.columns % (in_blocks(w) ? 32 : 8) == 0 && aligned(w.data) && aligned(x.x)
               && aligned(x.weight) && !x.bias;
    }
    static bool in_blocks(matrix const& w) { return w.layout == &for_cores && values_per_block(w.type) > 1; }

    [[nodiscard]] bool takes_few(matrix const& w, std::size_t rows) const {
        return w.columns == 0 || (rows <= few && !takes_batch(w, rows));
    }
    [[nodiscard]] bool takes_batch(matrix const& w, std::size_t rows) const {
        return rows > few_for_blocks && rows <= batch && in_blocks(w) && w.columns > 0 && aligned(w.data)
               && device_.tensor_cores() != cores::none;
    }

    void few_at_once(std::span<one const> of, normed const& x, std::size_t rows, rotation const& by) const {
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
            return o.w.is_stored_as(of[0].w) && o.w.rows > 0 && lies_well(o.w, x);
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
            rotate_after(o, rows, by);
        }
    }
    template <class Values, unsigned Rows, unsigned Outputs>
    void wide(std::span<one const> of, few_rows const& in, rotation const& by) const {
        wide_product<Values, Rows, Outputs> kernel{in, {}, 0, {by.cos, by.sin}};
        for (one const& o : of)
            kernel.add({values_as<Values>(o.w), o.w.rows, o.then, o.y,
                        o.rotated ? static_cast<std::uint32_t>(by.head_dim / 2) : 0});
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

    void rotate_after(one const& o, std::size_t rows, rotation const& by) const {
        if (!o.rotated) return;
        std::size_t const half = by.head_dim / 2, heads = o.w.rows / by.head_dim;
        each(rotate_pairs{{rows * heads * half}, o.y, by.cos, by.sin, heads, half});
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
    static rotation below(rotation const& by, std::size_t r) {
        std::size_t const half = by.head_dim / 2;
        return {by.cos + r * half, by.sin + r * half, by.head_dim};
    }

    /// The type to which activations are rounded for a weight's product of many rows.
    [[nodiscard]] format read_as(matrix const& w) const {
        if (w.layout != &for_cores) return format::f32;
        if (!in_blocks(w)) return w.type;
        return device_.tensor_cores() == cores::bf16 ? format::bf16 : format::f16;
    }

    /// Products that read the same type share the rounded rows.
    void many_at_once(std::span<one const> of, normed const& x, std::size_t rows, rotation const& by) const {
        format const type = read_as(of[0].w);
        std::size_t const columns = of[0].w.columns;
        auto const prepared = [&]<class T>(T) {
            prepare<T>(x, rows, columns,
                       [&](T const* there, std::size_t r, std::size_t n, std::span<std::byte> buffer) {
                           products_of<T>(below(of, r), there, n, below(by, r), buffer);
                       });
        };
        if (type == format::bf16)
            prepared(bf16{});
        else if (type == format::f16)
            prepared(f16{});
        else if (x.weight)
            prepared(float{});
        else
            products_of<float>(of, x.x, rows, by, room_);
    }

    /// x or its norm in T, as many rows at a time as fit into half of the workspace. Calls then(rows, index of the
    /// first, how many, the other half).
    template <class T, class Then>
    void prepare(normed const& x, std::size_t rows, std::size_t columns, Then const& then) const {
        std::size_t const half = room_.size() / 512 * 256,
                          piece = std::max<std::size_t>(half / (columns * sizeof(T)), 1);
        auto* const there = reinterpret_cast<T*>(room_.data());
        for (std::size_t r = 0; r < rows; r += piece) {
            std::size_t const n = std::min(piece, rows - r);
            if (x.weight)
                norm(from(x, r, columns), n, columns, there);
            else
                each(unpack_values<f32_values, T>{{n * columns}, {x.x + r * columns}, 0, there});
            then(there, r, n, room_.subspan(half));
        }
    }

    /// Products of rows in T, and rope where `rotated`.
    template <class T>
    void products_of(std::span<one const> of, T const* x, std::size_t rows, rotation const& by,
                     std::span<std::byte> buffer) const {
        for (std::size_t i = 0, end = 0; i < of.size(); i = end) {
            end = i + 1;
            if (of[i].w.rows == 0) continue;
            if (std::is_same_v<T, float> || !takes_batch(of[i].w, rows)) {
                pieces<T>(buffer, of[i].w, of[i].then, x, rows, of[i].y);
                rotate_after(of[i], rows, by);
                continue;
            }
            while (end < of.size() && of[end].w.is_stored_as(of[i].w) && takes_batch(of[end].w, rows)) ++end;
            std::array<paired, most> pairs{};
            for (std::size_t k = i; k < end; ++k) {
                one const& o = of[k];
                auto const half = static_cast<std::uint32_t>(o.rotated ? by.head_dim / 2 : 0);
                pairs[k - i] = {o.w, o.w, {static_cast<std::uint32_t>(o.w.rows), o.then, o.y, half}};
            }
            batches<T>(std::span(pairs).first(end - i), x, rows, by, buffer);
        }
    }

    void batch_swiglu(matrix const& gate, matrix const& up, normed const& x, std::size_t rows, float* y) const {
        auto const prepared = [&]<class T>(T) {
            prepare<T>(x, rows, gate.columns,
                       [&](T const* there, std::size_t r, std::size_t n, std::span<std::byte> buffer) {
                           auto const outputs = static_cast<std::uint32_t>(gate.rows);
                           paired const both{gate, up, {outputs, {}, y + r * gate.rows, 0, true}};
                           batches<T>({&both, 1}, there, n, {}, buffer);
                       });
        };
        read_as(gate) == format::bf16 ? prepared(bf16{}) : prepared(f16{});
    }

    /// The weights of the first and of the second outputs of pairs.
    struct paired {
        matrix w, second;
        output_pairs to;
    };
    /// @pre all weights have the same layout, and `takes_batch`
    template <class T>
    void batches(std::span<paired const> of, T const* x, std::size_t rows, rotation const& by,
                 std::span<std::byte> buffer) const {
        visit_values(of[0].w, [&]<class Values>(Values) {
            if constexpr (in_integers<Values> && !std::is_same_v<T, float>) {
                if (rows <= 16)
                    batch_in<Values, T, 2>(of, x, rows, by, buffer);
                else if (rows <= 32)
                    batch_in<Values, T, 4>(of, x, rows, by, buffer);
                else
                    batch_in<Values, T, 8>(of, x, rows, by, buffer);
            }
        });
    }
    template <class Values, class T, unsigned Tiles>
    void batch_in(std::span<paired const> of, T const* x, std::size_t rows, rotation const& by,
                  std::span<std::byte> buffer) const {
        std::size_t const columns = of[0].w.columns;
        batch_product<Values, T, Tiles> kernel{{rows, columns, {by.cos, by.sin}}, x, {}, {}};
        batch_task& task = kernel.to;
        for (paired const& p : of) {
            kernel.w[task.products] = values_as<Values>(p.w);
            kernel.second[task.products] = values_as<Values>(p.second);
            task.add(p.to);
        }
        std::size_t const of_part = rows * task.pairs() * 2 * sizeof(float);
        task.parts = parts_for(kernel.blocks().x, device_.processors(), columns, 512, buffer.size() / of_part);
        task.partial = reinterpret_cast<float*>(buffer.data());
        device_.launch(kernel, kernel.blocks());
        if (task.parts > 1) each(join_batch{{rows * task.pairs()}, task});
    }

    /// The product of rows of x in T. Rows of the weight are unpacked to T, as many at a time as fit into the
    /// workspace.
    template <class T>
    void pieces(std::span<std::byte> buffer, matrix const& w, finish const& then, T const* x, std::size_t rows,
                float* y) const {
        constexpr format type = std::is_same_v<T, bf16>  ? format::bf16
                                : std::is_same_v<T, f16> ? format::f16
                                                         : format::f32;
        bool const as_it_is = w.type == type;
        std::size_t const piece = as_it_is ? w.rows : std::max<std::size_t>(buffer.size() / (w.columns * sizeof(T)), 1);
        for (std::size_t o = 0; o < w.rows; o += piece) {
            std::size_t const n = std::min(piece, w.rows - o);
            auto* const there = reinterpret_cast<T*>(buffer.data());
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
            // The library does not scale the bias: it computes y + scale (x wᵀ + bias) only if scale is 1 or there is
            // no bias.
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
