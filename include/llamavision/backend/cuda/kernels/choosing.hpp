// SPDX-License-Identifier: Apache-2.0
// The kernels that choose a token, together with the device library's reduction, sort and prefix sums. A score and its
// token's id are packed into one number, a rank, which is larger for a larger score, and for equal scores larger for
// the lower id. So the largest rank is the greedy choice, and sorted ranks are in the order in which top-k and top-p
// keep tokens.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <llamavision/backend/cuda/kernels/block.hpp>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/tokens/fixed_point.hpp>

namespace llamavision::gpu {

/// The rank: the upper half is the score, as an integer of the same order (-0 and 0 are equal); the lower half is the
/// complement of the id.
LLAMAVISION_KERNEL inline std::uint64_t ranked(float score, std::uint32_t id) {
    auto const bits = std::bit_cast<std::uint32_t>(score == 0 ? 0.0f : score);
    std::uint32_t const ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return static_cast<std::uint64_t>(ordered) << 32 | (0xffffffffu - id);
}
LLAMAVISION_KERNEL inline float score_of(std::uint64_t rank) {
    auto const ordered = static_cast<std::uint32_t>(rank >> 32);
    return std::bit_cast<float>(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}
LLAMAVISION_KERNEL inline std::uint32_t id_of(std::uint64_t rank) {
    return 0xffffffffu - static_cast<std::uint32_t>(rank & 0xffffffffu);
}

/// Input and result of a choice, in the device's memory from one choice to the next.
struct choice_state {
    std::uint64_t random;
    std::uint64_t largest; ///< the largest rank
    std::int32_t id;       ///< -1: none
};

/// Marks of a token: forbidden, seen.
enum mark : std::uint8_t { is_forbidden = 1, was_seen = 2 };

/// Marks the tokens of a list; ids without a logit are skipped.
struct mark_tokens : for_each_value<mark_tokens> {
    std::int32_t const* ids;
    std::uint8_t* marks; ///< (tokens)
    std::size_t tokens;
    std::uint8_t with;
    LLAMAVISION_KERNEL void at(std::size_t i) const {
        if (ids[i] >= 0 && static_cast<std::size_t>(ids[i]) < tokens) marks[ids[i]] |= with;
    }
};

/// Logits to ranks. Forbidden tokens are -inf, tokens that were seen are penalised (Hugging Face:
/// RepetitionPenaltyLogitsProcessor). NaN and +inf have the largest rank, so that they are found, and nothing is drawn.
struct rank_tokens : for_each_value<rank_tokens> {
    float const* logits;
    std::uint8_t const* marks;
    float penalty;
    std::uint64_t* ranks;
    LLAMAVISION_KERNEL void at(std::size_t i) const {
        float s = logits[i];
        if (!(s < INFINITY))
            s = INFINITY;
        else if (marks[i] & is_forbidden)
            s = -INFINITY;
        else if (marks[i] & was_seen)
            s = s < 0 ? s * penalty : s / penalty;
        ranks[i] = ranked(s, static_cast<std::uint32_t>(i));
    }
};

/// The greedy choice; none if the largest score is infinite.
struct take_largest : for_each_value<take_largest> {
    choice_state* state;
    LLAMAVISION_KERNEL void at(std::size_t) const {
        float const top = score_of(state->largest);
        state->id = top < INFINITY && top > -INFINITY ? static_cast<std::int32_t>(id_of(state->largest)) : -1;
    }
};

/// The weights of the softmax, as tokens::sampler computes them.
struct weigh_tokens : for_each_value<weigh_tokens> {
    std::uint64_t const* ranks;
    choice_state const* state;
    double temperature;
    std::uint64_t* weights;
    LLAMAVISION_KERNEL void at(std::size_t i) const {
        weights[i] = softmax_weight(score_of(ranks[i]), score_of(state->largest), temperature);
    }
};

/// Cuts by top-k and top-p, and draws. With a cut, `ranks` are sorted; without, they are in the order of ids.
struct draw_token : for_each_value<draw_token> {
    std::uint64_t const* ranks;
    std::uint64_t const* sums; ///< prefix sums of the weights
    std::size_t tokens, top_k; ///< top_k < tokens; 0: all
    double top_p;
    choice_state* state;

    LLAMAVISION_KERNEL void at(std::size_t) const {
        float const top = score_of(state->largest);
        state->id = -1;
        if (!(top < INFINITY && top > -INFINITY)) return;
        std::size_t kept = tokens;
        if (top_k > 0) kept = top_k;
        // A token is kept if the tokens before it have at most top_p of all weight (Meta: sample_top_p).
        if (top_p < 1) {
            auto const limit = static_cast<std::uint64_t>(top_p * static_cast<double>(sums[kept - 1]));
            std::size_t const within = first_above(limit, kept); // the first whose sum is above the limit is kept
            kept = within + 1 < kept ? within + 1 : kept;
        }
        random_bits random = random_bits::at(state->random);
        std::uint64_t const draw = random.below(sums[kept - 1]);
        state->random = random.state();
        state->id = static_cast<std::int32_t>(id_of(ranks[first_above(draw, kept)]));
    }

  private:
    /// The index of the first of so many sums that is above a number; `among` if there is none.
    [[nodiscard]] LLAMAVISION_KERNEL std::size_t first_above(std::uint64_t number, std::size_t among) const {
        std::size_t begin = 0, end = among;
        while (begin < end) {
            std::size_t const middle = begin + (end - begin) / 2;
            if (sums[middle] > number)
                end = middle;
            else
                begin = middle + 1;
        }
        return begin;
    }
};

} // namespace llamavision::gpu
