// SPDX-License-Identifier: Apache-2.0
// Random numbers for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

/// The same numbers on every platform (Knuth's linear congruential generator).
class random_floats {
  public:
    explicit random_floats(std::uint64_t seed) : state_(seed * 2654435761u + 97u) {}

    /// In [-scale, scale).
    float next(float scale = 1.0f) {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return scale * static_cast<float>(static_cast<std::int32_t>(state_ >> 32)) * 0x1p-31f;
    }
    std::vector<float> many(std::size_t count, float scale = 1.0f) {
        std::vector<float> values(count);
        for (float& v : values) v = next(scale);
        return values;
    }

  private:
    std::uint64_t state_;
};
