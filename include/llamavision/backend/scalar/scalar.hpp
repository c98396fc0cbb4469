// SPDX-License-Identifier: Apache-2.0
// The scalar backend: plain loops over plain arrays. All tests compare with it. A reader should begin here.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <llamavision/backend/concept.hpp>

namespace llamavision {

/// One thread. Values are floats; sums are accumulated in double, so that other backends can be compared with it.
struct scalar {
    [[nodiscard]] std::string_view name() const { return "scalar"; }

    void linear(matrix const& w, float const* bias, float const* x, std::size_t rows, float* y) const {
        visit(w, [&](auto weight) {
            for (std::size_t r = 0; r < rows; ++r)
                for (std::size_t o = 0; o < w.rows; ++o) {
                    double sum = bias ? static_cast<double>(bias[o]) : 0.0;
                    for (std::size_t i = 0; i < w.columns; ++i)
                        sum += static_cast<double>(x[r * w.columns + i])
                               * static_cast<double>(static_cast<float>(weight[o * w.columns + i]));
                    y[r * w.rows + o] = static_cast<float>(sum);
                }
        });
    }

    void embed(matrix const& table, std::int32_t const* ids, std::size_t count, float* y) const {
        for (std::size_t r = 0; r < count; ++r)
            widen(table, static_cast<std::size_t>(ids[r]) * table.columns, table.columns, y + r * table.columns);
    }

    void widen(matrix const& w, std::size_t first, std::size_t count, float* y) const {
        visit(w, [&](auto values) {
            for (std::size_t i = 0; i < count; ++i) y[i] = static_cast<float>(values[first + i]);
        });
    }

    [[nodiscard]] bool bytes_equal(matrix const& w, std::size_t a, std::size_t b, std::size_t count) const {
        auto const* bytes = static_cast<std::byte const*>(w.data);
        return std::memcmp(bytes + bytes_of(w.type, a), bytes + bytes_of(w.type, b), bytes_of(w.type, count)) == 0;
    }

    void rms_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float eps, float* y) const {
        for (std::size_t r = 0; r < rows; ++r, x += width, y += width) {
            double squares = 0;
            for (std::size_t i = 0; i < width; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
            double const scale = 1.0 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(eps));
            for (std::size_t i = 0; i < width; ++i)
                y[i] = static_cast<float>(static_cast<double>(x[i]) * scale) * weight[i];
        }
    }

    void layer_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float const* bias,
                    float eps, float* y) const {
        for (std::size_t r = 0; r < rows; ++r, x += width, y += width) {
            double mean = 0, variance = 0;
            for (std::size_t i = 0; i < width; ++i) mean += static_cast<double>(x[i]);
            mean /= static_cast<double>(width);
            for (std::size_t i = 0; i < width; ++i) {
                double const d = static_cast<double>(x[i]) - mean;
                variance += d * d;
            }
            double const scale = 1.0 / std::sqrt(variance / static_cast<double>(width) + static_cast<double>(eps));
            for (std::size_t i = 0; i < width; ++i)
                y[i] = static_cast<float>((static_cast<double>(x[i]) - mean) * scale) * weight[i] + bias[i];
        }
    }

    void silu(float const* x, std::size_t count, float* y) const {
        for (std::size_t i = 0; i < count; ++i) y[i] = x[i] / (1.0f + std::exp(-x[i]));
    }

    void gelu(float const* x, std::size_t count, float* y) const {
        for (std::size_t i = 0; i < count; ++i) y[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * 0.70710678118654752f));
    }

    void multiply(float const* a, float const* b, std::size_t count, float* y) const {
        for (std::size_t i = 0; i < count; ++i) y[i] = a[i] * b[i];
    }

    void add_scaled(float const* x, float scale, float const* f, std::size_t count, float* y) const {
        for (std::size_t i = 0; i < count; ++i) y[i] = x[i] + scale * f[i];
    }

    void add_row(float const* x, std::size_t rows, std::size_t width, float scale, float const* f, float* y) const {
        for (std::size_t r = 0; r < rows; ++r) add_scaled(x + r * width, scale, f, width, y + r * width);
    }

    void rope(float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float const* cos,
              float const* sin) const {
        std::size_t const half = head_dim / 2;
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t h = 0; h < heads; ++h) {
                float* head = x + (r * heads + h) * head_dim;
                for (std::size_t i = 0; i < half; ++i) {
                    float const a = head[i], b = head[i + half], c = cos[r * half + i], s = sin[r * half + i];
                    head[i] = a * c - b * s;
                    head[i + half] = b * c + a * s;
                }
            }
    }

    /// For each query head: a softmax over the scores of all keys that its group sees, then the weighted mean of the
    /// values.
    void attend(float const* q, attention_shape const& shape, std::span<query_group const> groups, float* y) const {
        thread_local std::vector<double> scores; // kept, so that nothing is allocated for a token
        for (query_group const& group : groups)
            for (std::size_t i = 0; i < group.rows; ++i)
                for (std::size_t h = 0; h < shape.heads; ++h) {
                    std::size_t const at = ((group.first + i) * shape.heads + h) * shape.head_dim;
                    attend_one(q + at, shape, h / (shape.heads / shape.kv_heads), group, group.rows - 1 - i, scores,
                               y + at);
                }
    }

    void unfold(float const* x, std::size_t tiles, std::size_t channels, std::size_t side, std::size_t patch,
                float* y) const {
        std::size_t const across = side / patch;
        for (std::size_t t = 0; t < tiles; ++t)
            for (std::size_t p = 0; p < across * across; ++p)
                for (std::size_t c = 0; c < channels; ++c)
                    for (std::size_t r = 0; r < patch; ++r, y += patch)
                        std::copy_n(x + ((t * channels + c) * side + p / across * patch + r) * side
                                        + p % across * patch,
                                    patch, y);
    }

    void interleave(float const* const* parts, std::size_t n, std::size_t rows, std::size_t width, float* y,
                    std::size_t stride) const {
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t i = 0; i < width; ++i)
                for (std::size_t k = 0; k < n; ++k) y[r * stride + i * n + k] = parts[k][r * width + i];
    }

    void copy(float const* x, std::size_t count, float* y) const { std::copy_n(x, count, y); }
    void zero(float* y, std::size_t count) const { std::fill_n(y, count, 0.0f); }

  private:
    /// @param hidden how many rows at the end of the last block the query does not see (causal groups)
    static void attend_one(float const* q, attention_shape const& shape, std::size_t kv_head, query_group const& group,
                           std::size_t hidden, std::vector<double>& scores, float* y) {
        std::size_t const dim = shape.head_dim, stride = shape.kv_heads * dim;
        auto const seen = [&](std::size_t b) {
            bool const grows = group.causal && b + 1 == group.blocks.size();
            return group.blocks[b].rows - (grows ? hidden : 0);
        };
        scores.clear();
        double largest = -std::numeric_limits<double>::infinity();
        for (std::size_t b = 0; b < group.blocks.size(); ++b)
            for (std::size_t k = 0; k < seen(b); ++k) {
                float const* key = group.blocks[b].keys + k * stride + kv_head * dim;
                double score = 0;
                for (std::size_t i = 0; i < dim; ++i) score += static_cast<double>(q[i]) * static_cast<double>(key[i]);
                score /= std::sqrt(static_cast<double>(dim));
                if (group.blocks[b].bias) score += static_cast<double>(group.blocks[b].bias[k]);
                scores.push_back(score);
                largest = std::max(largest, score);
            }
        double total = 0;
        for (double& s : scores) total += s = std::exp(s - largest);
        for (std::size_t i = 0; i < dim; ++i) {
            double sum = 0;
            std::size_t s = 0;
            for (std::size_t b = 0; b < group.blocks.size(); ++b)
                for (std::size_t k = 0; k < seen(b); ++k)
                    sum += scores[s++] * static_cast<double>(group.blocks[b].values[k * stride + kv_head * dim + i]);
            y[i] = scores.empty() ? 0.0f : static_cast<float>(sum / total);
        }
    }
};

static_assert(backend<scalar>);

} // namespace llamavision
