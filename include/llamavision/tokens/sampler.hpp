// SPDX-License-Identifier: Apache-2.0
// The next token from the model's logits: greedy, or drawn after temperature, top-k and top-p.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/fixed_point.hpp>
#include <llamavision/tokens/token.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::tokens {

/// How tokens are chosen. The defaults are Meta's (generation.py), and those of Instruct checkpoints.
struct sampling {
    double temperature = 0.6;        ///< ≥ 0; 0 is greedy: the most likely token, of equals the lowest id
    double top_p = 0.9;              ///< in [0, 1]; 1 keeps all, 0 the most likely one
    std::size_t top_k = 0;           ///< keep this many; 0 keeps all
    double repetition_penalty = 1.0; ///< > 0; 1 is none. As Hugging Face's: each token of prompt and answer once
    std::uint64_t seed = 0;
};

/// Chooses tokens, one after the other. The same logits, settings and seed give the same tokens on every machine whose
/// doubles are IEEE 754's, with every compiler and mathematical library (but not with -ffast-math): floating point is
/// used for one subtraction, one division and two products for each logit; the rest are integers.
/// Not for several threads at once.
class sampler {
  public:
    /// @param forbidden are never chosen (tokenizer::image_like(), for example); ids without a logit are ignored
    /// @throws argument_error for settings out of range
    explicit sampler(sampling settings = {}, std::vector<token> forbidden = {})
        : settings_(settings), forbidden_(std::move(forbidden)), random_(settings.seed) {
        auto const refuse = [](bool wrong, char const* what) {
            if (wrong) throw argument_error(std::string("sampling: ") + what);
        };
        auto const finite = [](double x) { return std::isfinite(x); };
        refuse(!finite(settings.temperature) || settings.temperature < 0, "temperature must be at least 0");
        refuse(!(settings.top_p >= 0 && settings.top_p <= 1), "top_p must be from 0 to 1");
        refuse(!finite(settings.repetition_penalty) || settings.repetition_penalty <= 0,
               "repetition_penalty must be above 0");
    }

    /// A token that may be chosen, and its weight in the draw.
    struct candidate {
        token id;
        std::uint64_t weight; ///< relative to those of the other candidates
    };

    /// The next token.
    /// @param logits one value for each id
    /// @param history the prompt and the answer so far; read only if there is a repetition penalty
    /// @throws token_error if a logit is not a number or +∞, or if no token can be chosen
    token operator()(std::span<float const> logits, std::span<token const> history = {}) {
        score(logits, history);
        if (settings_.temperature == 0) return best();
        select();
        std::uint64_t total = 0;
        for (auto const& c : kept_) total += c.weight;
        auto draw = random_.below(total);
        for (auto const& c : kept_) {
            if (draw < c.weight) return c.id;
            draw -= c.weight;
        }
        return kept_.back().id; // not reached: draw < total
    }

    /// The tokens from which the next one is drawn at a temperature above 0: the most likely first if there is a top-k
    /// below the number of logits or a top-p below 1, else by id. Draws nothing. Valid until the next call.
    std::span<candidate const> candidates(std::span<float const> logits, std::span<token const> history = {}) {
        score(logits, history);
        select();
        return kept_;
    }

    sampling const& settings() const { return settings_; }
    std::vector<token> const& forbidden() const { return forbidden_; }
    /// The state of the draws, for a backend that chooses by the same rules (`chooses`, backend/concept.hpp).
    random_bits& random() { return random_; }

  private:
    static constexpr float nothing = -std::numeric_limits<float>::infinity();

    // Logits with the repetition penalty, −∞ where forbidden; a penalty in f32, as transformers computes it.
    void score(std::span<float const> logits, std::span<token const> history) {
        if (logits.size() > std::size_t{1} << 20) throw token_error("more than 2^20 logits");
        scores_.assign(logits.begin(), logits.end());
        for (std::size_t i = 0; i < scores_.size(); ++i)
            if (!(scores_[i] < std::numeric_limits<float>::infinity()))
                throw token_error("the logit of token " + std::to_string(i) + " is " + std::to_string(scores_[i]));
        auto const penalty = static_cast<float>(settings_.repetition_penalty);
        if (penalty != 1) {
            seen_.assign(history.begin(), history.end());
            std::sort(seen_.begin(), seen_.end());
            seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
            for (auto const id : seen_)
                if (auto* const s = score_of(id)) *s = *s < 0 ? *s * penalty : *s / penalty;
        }
        for (auto const id : forbidden_)
            if (auto* const s = score_of(id)) *s = nothing;
        top_ = scores_.empty() ? nothing : *std::max_element(scores_.begin(), scores_.end());
        if (top_ == nothing) throw token_error("no token can follow: every logit is -inf or forbidden");
    }

    float* score_of(token id) {
        return id >= 0 && static_cast<std::size_t>(id) < scores_.size() ? &scores_[static_cast<std::size_t>(id)]
                                                                        : nullptr;
    }

    token best() const {
        return static_cast<token>(std::max_element(scores_.begin(), scores_.end()) - scores_.begin());
    }

    void select() {
        kept_.clear();
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < scores_.size(); ++i) {
            auto const w = softmax_weight(scores_[i], top_, settings_.temperature);
            if (w == 0) continue;
            kept_.push_back({static_cast<token>(i), w});
            total += w;
        }
        auto const more = [&](candidate const& a, candidate const& b) {
            auto const sa = scores_[static_cast<std::size_t>(a.id)], sb = scores_[static_cast<std::size_t>(b.id)];
            return sa != sb ? sa > sb : a.id < b.id;
        };
        std::size_t sorted = 0;
        auto const sort_until = [&](std::size_t end) {
            auto const at = [&](std::size_t i) { return kept_.begin() + static_cast<std::ptrdiff_t>(i); };
            std::partial_sort(at(sorted), at(end), kept_.end(), more);
            return sorted = end;
        };
        if (settings_.top_k > 0 && settings_.top_k < scores_.size()) {
            kept_.resize(sort_until(std::min(settings_.top_k, kept_.size())));
            total = 0;
            for (auto const& c : kept_) total += c.weight;
        }
        if (settings_.top_p == 1) return;
        // Meta: sample_top_p keeps a token if the sum of those before it is at most top_p. Usually few are kept, so the
        // list is sorted only as far as it is read, each time twice as far.
        auto const limit = static_cast<std::uint64_t>(settings_.top_p * static_cast<double>(total));
        std::uint64_t before = 0;
        std::size_t count = 0;
        for (; count < kept_.size() && before <= limit; ++count) {
            if (count == sorted) sort_until(std::min(kept_.size(), 2 * count + 64));
            before += kept_[count].weight;
        }
        kept_.resize(count);
    }

    sampling settings_;
    std::vector<token> forbidden_;
    random_bits random_;
    std::vector<float> scores_;
    std::vector<token> seen_;
    std::vector<candidate> kept_;
    float top_ = nothing;
};

} // namespace llamavision::tokens
