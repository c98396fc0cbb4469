// SPDX-License-Identifier: Apache-2.0
// A backend with memory of its own, for tests that hand it the host's: whatever a word reads is taken there, and what
// it writes is brought back. Copies lie as far beside a cache line as the original.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>

template <class B>
class carried {
    using matrix = llamavision::matrix;

  public:
    carried() = default;
    explicit carried(B backend) : b_(std::move(backend)) {}

    [[nodiscard]] std::string_view name() const { return b_.name(); }
    [[nodiscard]] B const& backend() const { return b_; }

    void linear(matrix const& w, float const* bias, float const* x, std::size_t rows, float* y) const {
        there const a(b_, w), c(b_, bias, w.rows), in(b_, x, rows * w.columns), out(b_, y, rows * w.rows);
        b_.linear(moved(w, a), c.floats(), in.floats(), rows, out.floats());
        out.back();
    }
    void fused_linear_gelu(matrix const& w, float const* bias, float const* x, std::size_t rows, float* y) const {
        there const a(b_, w), c(b_, bias, w.rows), in(b_, x, rows * w.columns), out(b_, y, rows * w.rows);
        b_.fused_linear_gelu(moved(w, a), c.floats(), in.floats(), rows, out.floats());
        out.back();
    }
    void fused_linear_add(matrix const& w, float const* bias, float const* x, std::size_t rows, float scale,
                          float* y) const {
        there const a(b_, w), c(b_, bias, w.rows), in(b_, x, rows * w.columns), out(b_, y, rows * w.rows);
        b_.fused_linear_add(moved(w, a), c.floats(), in.floats(), rows, scale, out.floats());
        out.back();
    }
    void fused_swiglu(matrix const& gate, matrix const& up, float const* x, std::size_t rows, float* y) const {
        there const g(b_, gate), u(b_, up), in(b_, x, rows * gate.columns), out(b_, y, rows * gate.rows);
        b_.fused_swiglu(moved(gate, g), moved(up, u), in.floats(), rows, out.floats());
        out.back();
    }
    void embed(matrix const& table, std::int32_t const* ids, std::size_t count, float* y) const {
        there const t(b_, table), i(b_, ids, count * sizeof(*ids)), out(b_, y, count * table.columns);
        b_.embed(moved(table, t), reinterpret_cast<std::int32_t const*>(i.floats()), count, out.floats());
        out.back();
    }
    void widen(matrix const& w, std::size_t first, std::size_t count, float* y) const {
        there const a(b_, w), out(b_, y, count);
        b_.widen(moved(w, a), first, count, out.floats());
        out.back();
    }
    [[nodiscard]] bool bytes_equal(matrix const& w, std::size_t a, std::size_t b, std::size_t count) const {
        there const all(b_, w);
        return b_.bytes_equal(moved(w, all), a, b, count);
    }
    void rms_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float eps, float* y) const {
        there const in(b_, x, rows * width), w(b_, weight, width), out(b_, y, rows * width);
        b_.rms_norm(x == y ? out.floats() : in.floats(), rows, width, w.floats(), eps, out.floats());
        out.back();
    }
    void layer_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float const* bias,
                    float eps, float* y) const {
        there const in(b_, x, rows * width), w(b_, weight, width), c(b_, bias, width), out(b_, y, rows * width);
        b_.layer_norm(x == y ? out.floats() : in.floats(), rows, width, w.floats(), c.floats(), eps, out.floats());
        out.back();
    }
    void silu(float const* x, std::size_t count, float* y) const {
        there const in(b_, x, count), out(b_, y, count);
        b_.silu(x == y ? out.floats() : in.floats(), count, out.floats());
        out.back();
    }
    void gelu(float const* x, std::size_t count, float* y) const {
        there const in(b_, x, count), out(b_, y, count);
        b_.gelu(x == y ? out.floats() : in.floats(), count, out.floats());
        out.back();
    }
    void multiply(float const* a, float const* b, std::size_t count, float* y) const {
        there const left(b_, a, count), right(b_, b, count), out(b_, y, count);
        b_.multiply(a == y ? out.floats() : left.floats(), right.floats(), count, out.floats());
        out.back();
    }
    void add_scaled(float const* x, float scale, float const* f, std::size_t count, float* y) const {
        there const in(b_, x, count), add(b_, f, count), out(b_, y, count);
        b_.add_scaled(x == y ? out.floats() : in.floats(), scale, add.floats(), count, out.floats());
        out.back();
    }
    void add_row(float const* x, std::size_t rows, std::size_t width, float scale, float const* f, float* y) const {
        there const in(b_, x, rows * width), add(b_, f, width), out(b_, y, rows * width);
        b_.add_row(x == y ? out.floats() : in.floats(), rows, width, scale, add.floats(), out.floats());
        out.back();
    }
    void rope(float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float const* cos,
              float const* sin) const {
        std::size_t const angles = rows * (head_dim / 2);
        there const c(b_, cos, angles), s(b_, sin, angles), out(b_, x, rows * heads * head_dim);
        b_.rope(out.floats(), rows, heads, head_dim, c.floats(), s.floats());
        out.back();
    }
    void attend(float const* q, llamavision::attention_shape const& shape,
                std::span<llamavision::query_group const> groups, float* y) const {
        std::size_t rows = 0, count = 0;
        for (auto const& g : groups) {
            rows = std::max(rows, g.first + g.rows);
            count += g.blocks.size();
        }
        std::size_t const size = rows * shape.heads * shape.head_dim, width = shape.kv_heads * shape.head_dim;
        there const in(b_, q, size), out(b_, y, size);
        std::vector<there> copies;
        std::vector<llamavision::key_block> blocks;
        std::vector<llamavision::query_group> moved_groups;
        blocks.reserve(count); // the groups point into it
        for (auto const& g : groups) {
            std::size_t const begin = blocks.size();
            for (auto const& b : g.blocks) {
                std::size_t const floats = b.capacity ? kept_floats(shape, b.capacity) : b.rows * width;
                auto const take = [&](float const* p, std::size_t n) {
                    copies.emplace_back(b_, p, n);
                    return copies.back().floats();
                };
                float const* const keys = take(b.keys, floats);
                float const* const values = take(b.values, floats);
                blocks.push_back({keys, values, take(b.bias, b.rows), b.rows, b.capacity});
            }
            moved_groups.push_back({g.first, g.rows, {blocks.data() + begin, blocks.size() - begin}, g.causal});
        }
        b_.attend(in.floats(), shape, moved_groups, out.floats());
        out.back();
    }
    [[nodiscard]] std::size_t kept_floats(llamavision::attention_shape const& shape, std::size_t capacity) const {
        return b_.kept_floats(shape, capacity);
    }
    void keep(llamavision::attention_shape const& shape, float const* keys, float const* values,
              std::span<llamavision::kept_rows const> places) const {
        std::size_t rows = 0;
        std::map<float*, there> memory; // several places may lie in one
        std::vector<llamavision::kept_rows> moved_places;
        for (llamavision::kept_rows p : places) {
            rows += p.rows;
            for (float** to : {&p.keys, &p.values})
                *to = memory.try_emplace(*to, b_, *to, kept_floats(shape, p.capacity)).first->second.floats();
            moved_places.push_back(p);
        }
        std::size_t const size = rows * shape.kv_heads * shape.head_dim;
        there const k(b_, keys, size), v(b_, values, size);
        b_.keep(shape, k.floats(), v.floats(), moved_places);
        for (auto const& [here, copy] : memory) copy.back();
    }
    void unfold(float const* x, std::size_t tiles, std::size_t channels, std::size_t side, std::size_t patch,
                float* y) const {
        std::size_t const across = side / patch, out_size = tiles * across * across * channels * patch * patch;
        there const in(b_, x, tiles * channels * side * side), out(b_, y, out_size);
        b_.unfold(in.floats(), tiles, channels, side, patch, out.floats());
        out.back();
    }
    void interleave(float const* const* parts, std::size_t n, std::size_t rows, std::size_t width, float* y,
                    std::size_t stride) const {
        std::vector<there> copies;
        std::vector<float const*> list;
        for (std::size_t k = 0; k < n; ++k) {
            copies.emplace_back(b_, parts[k], rows * width);
            list.push_back(copies.back().floats());
        }
        there const out(b_, y, rows == 0 ? 0 : (rows - 1) * stride + width * n);
        b_.interleave(list.data(), n, rows, width, out.floats(), stride);
        out.back();
    }
    void copy(float const* x, std::size_t count, float* y) const {
        there const in(b_, x, count), out(b_, y, count);
        b_.copy(in.floats(), count, out.floats());
        out.back();
    }
    void zero(float* y, std::size_t count) const {
        there const out(b_, y, count);
        b_.zero(out.floats(), count);
        out.back();
    }

  private:
    /// A copy in the backend's memory.
    class there {
      public:
        there(B const& b, void const* here, std::size_t bytes) : b_(&b), here_(here), bytes_(bytes) {
            if (!here) return;
            std::size_t const beside = reinterpret_cast<std::uintptr_t>(here) % 16;
            room_ = b.allocate(bytes + beside);
            at_ = room_.get() + beside;
            b.upload(here, bytes, at_);
        }
        there(B const& b, float const* here, std::size_t count)
            : there(b, static_cast<void const*>(here), count * sizeof(float)) {}
        there(B const& b, std::int32_t const* here, std::size_t bytes)
            : there(b, static_cast<void const*>(here), bytes) {}
        there(B const& b, matrix const& w)
            : there(b, w.data, static_cast<std::size_t>(llamavision::bytes_of(w.type, w.size()))) {}

        [[nodiscard]] float* floats() const { return reinterpret_cast<float*>(at_); }
        void back() const { b_->download(at_, bytes_, const_cast<void*>(here_)); }

      private:
        B const* b_;
        void const* here_;
        std::size_t bytes_;
        std::shared_ptr<std::byte> room_;
        std::byte* at_ = nullptr;
    };

    static matrix moved(matrix const& w, there const& to) { return {to.floats(), w.type, w.rows, w.columns}; }

    B b_{};
};
