// SPDX-License-Identifier: Apache-2.0
// A backend from outside the library, whose weights of products have a layout that only its own kernels know.
#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>

#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;

namespace {

inline constexpr lv::weight_layout columns_first{"columns first"};

/// Keeps weights (rows, columns) as floats in the order (columns, rows).
class by_columns : lv::scalar {
  public:
    [[nodiscard]] static std::string_view name() { return "by columns"; }
    using scalar::embed, scalar::widen, scalar::bytes_equal, scalar::rms_norm, scalar::layer_norm, scalar::silu,
        scalar::gelu, scalar::multiply, scalar::add_scaled, scalar::add_row, scalar::rope, scalar::attend,
        scalar::unfold, scalar::interleave, scalar::copy, scalar::zero;

    [[nodiscard]] static std::size_t repacked_bytes(lv::matrix const& w, lv::weight_format f) {
        return f == lv::weight_format::bf16 ? w.size() * sizeof(float) : 0;
    }
    lv::matrix repack(lv::matrix const& w, lv::weight_format f, std::byte* to) const {
        auto* const values = reinterpret_cast<float*>(to);
        for (std::size_t i = 0; i < w.size(); ++i) widen(w, i, 1, values + i % w.columns * w.rows + i / w.columns);
        return repacked_at(w, f, to);
    }
    [[nodiscard]] static lv::matrix repacked_at(lv::matrix const& w, lv::weight_format, std::byte const* at) {
        return {at, lv::format::f32, w.rows, w.columns, &columns_first};
    }

    void linear(lv::matrix const& w, float const* bias, float const* x, std::size_t rows, float* y) const {
        if (w.layout != &columns_first) return scalar::linear(w, bias, x, rows, y);
        ++*products_;
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t o = 0; o < w.rows; ++o) {
                double sum = bias ? static_cast<double>(bias[o]) : 0.0;
                for (std::size_t i = 0; i < w.columns; ++i)
                    sum += static_cast<double>(x[r * w.columns + i]) * static_cast<double>(w.floats()[i * w.rows + o]);
                y[r * w.rows + o] = static_cast<float>(sum);
            }
    }
    [[nodiscard]] std::size_t products() const { return *products_; }

  private:
    std::shared_ptr<std::size_t> products_ = std::make_shared<std::size_t>(0);
};
static_assert(lv::backend<by_columns> && lv::repacks_weights<by_columns>);

} // namespace

TEST_CASE("a backend's own layout: repacked when it is loaded, read by its products, and the same results") {
    by_columns const mine;
    lv::network_options how;
    how.formats = lv::weight_formats::divided(lv::weight_format::bf16, lv::weight_format::bf16);
    std::shared_ptr<lv::network const> const net =
        std::make_shared<lv::network_of<small, by_columns>>(random_weights<small>(1), mine, how);
    auto const logits = [](std::shared_ptr<lv::network const> const& of) {
        lv::session s(of);
        s.append(id_list{1, image_token, 7, 30}, image_list{picture_by(*of, 1, 2)});
        return copy(s.logits());
    };
    CHECK(logits(net) == logits(small_network()));
    CHECK(mine.products() > 20);
}

TEST_CASE("a kernel that is given another backend's layout names it") {
    float const values[4] = {1, 2, 3, 4};
    float y[4];
    lv::matrix const w{values, lv::format::f32, 2, 2, &columns_first};
    CHECK(message_of<lv::error>([&] { lv::scalar{}.linear(w, nullptr, values, 1, y); }).find("'columns first'")
          != std::string::npos);
    CHECK(message_of<lv::error>([&] { lv::simd(1).linear(w, nullptr, values, 1, y); }).find("'columns first'")
          != std::string::npos);
    CHECK(message_of<lv::error>([&] { lv::simd(1).widen(w, 0, 4, y); }).find("'columns first'") != std::string::npos);
}
