// SPDX-License-Identifier: Apache-2.0
// A scene for attention: blocks of keys, one group of queries that sees them, and what the definition makes of it.
#pragma once

#include <limits>

#include "backends.hpp"

namespace backends {

inline constexpr float infinity = std::numeric_limits<float>::infinity();

/// Blocks of keys with their storage, and one group of query rows that sees them.
struct scene {
    lv::attention_shape shape;
    std::size_t rows;
    std::vector<float> q;
    std::vector<std::vector<float>> keys, values, biases;
    std::vector<lv::key_block> blocks;
    bool causal = false;

    scene(lv::attention_shape const& s, std::size_t query_rows, std::vector<std::size_t> const& block_rows,
          float q_scale = 1.0f)
        : shape(s), rows(query_rows) {
        numbers n(s.heads * 31 + s.head_dim * 7 + query_rows);
        q = n.floats(rows * s.heads * s.head_dim, q_scale);
        for (std::size_t b : block_rows) {
            keys.push_back(n.floats(b * s.kv_heads * s.head_dim, 2.0f));
            values.push_back(n.floats(b * s.kv_heads * s.head_dim));
            biases.push_back(n.floats(b));
        }
        for (std::size_t i = 0; i < block_rows.size(); ++i)
            blocks.push_back({keys[i].data(), values[i].data(), i % 2 ? biases[i].data() : nullptr, block_rows[i]});
    }

    [[nodiscard]] lv::query_group group() const { return {0, rows, blocks, causal}; }

    template <class B>
    [[nodiscard]] std::vector<float> run(B const& b) const {
        lv::query_group const one = group();
        std::vector<float> y(q.size(), 777.0f);
        b.attend(q.data(), shape, {&one, 1}, y.data());
        return y;
    }

    /// The definition: softmax(q · k / sqrt(head_dim) + bias) · v over the keys that the row sees.
    [[nodiscard]] std::vector<double> expected() const {
        std::vector<double> y(q.size(), 0.0);
        std::size_t const dim = shape.head_dim;
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t h = 0; h < shape.heads; ++h) {
                std::size_t const at = (r * shape.heads + h) * dim, kv = h / (shape.heads / shape.kv_heads);
                std::vector<double> score;
                std::vector<float const*> value;
                for (std::size_t b = 0; b < blocks.size(); ++b) {
                    bool const growing = causal && b + 1 == blocks.size();
                    for (std::size_t k = 0; k < blocks[b].rows; ++k) {
                        if (growing && k + rows > blocks[b].rows + r) continue;
                        std::size_t const key = (k * shape.kv_heads + kv) * dim;
                        double s = 0;
                        for (std::size_t d = 0; d < dim; ++d)
                            s += static_cast<double>(q[at + d]) * static_cast<double>(blocks[b].keys[key + d]);
                        s /= std::sqrt(static_cast<double>(dim));
                        score.push_back(s + (blocks[b].bias ? static_cast<double>(blocks[b].bias[k]) : 0.0));
                        value.push_back(blocks[b].values + key);
                    }
                }
                double largest = -static_cast<double>(infinity), total = 0;
                for (double s : score) largest = std::max(largest, s);
                for (double& s : score) total += s = std::exp(s - largest);
                for (std::size_t i = 0; i < score.size(); ++i)
                    for (std::size_t d = 0; d < dim; ++d)
                        y[at + d] += score[i] / total * static_cast<double>(value[i][d]);
            }
        return y;
    }
};

} // namespace backends
