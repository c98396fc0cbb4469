// SPDX-License-Identifier: Apache-2.0
// How a token is chosen on a device: logits become ranks, and the largest is found. Unless that is the choice, weights
// are computed from the ranks, then their prefix sums, and one is drawn. All of it is one recorded pass; an id and the
// state of the random numbers come back.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <llamavision/backend/choice.hpp>
#include <llamavision/backend/cuda/kernels/choosing.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision::gpu {

template <class Device>
class choosing_dispatch {
  public:
    explicit choosing_dispatch(Device const& device) : device_(device), room_(device.workspace()) {}

    chosen choose(std::shared_ptr<void>& memory, choosing const& how, float const* logits, std::size_t tokens) {
        if (tokens == 0 || tokens > most_tokens) return {};
        if (!memory) memory = begin(how, tokens);
        auto& m = *static_cast<answer*>(memory.get());
        std::size_t const list = round_up(tokens * sizeof(std::uint64_t), 256);
        if (4 * list + m.library > room_.size()) return {};
        if (how.penalty != 1.0f) see(m, how.history, tokens);
        device_.upload(&how.random, sizeof(how.random), &m.state->random);

        auto const at = [&](std::size_t k) { return reinterpret_cast<std::uint64_t*>(room_.data() + k * list); };
        auto const pass = [&] {
            make(m, how, logits, tokens, {at(0), at(1), at(2), at(3), room_.subspan(4 * list, m.library)});
        };
        std::uint64_t const key[] = {std::bit_cast<std::uintptr_t>(logits),
                                     tokens,
                                     how.top_k,
                                     std::bit_cast<std::uint64_t>(how.temperature),
                                     std::bit_cast<std::uint64_t>(how.top_p),
                                     std::bit_cast<std::uint32_t>(how.penalty)};
        device_.replay(m.tape, key, {}, pass);
        choice_state after{};
        device_.download(m.state, sizeof(after), &after);
        return {after.id, after.random};
    }

  private:
    /// The sum of at most so many weights fits into 64 bits; see tokens/fixed_point.hpp.
    static constexpr std::size_t most_tokens = std::size_t{1} << 20;

    /// The memory of one answer, from one choice to the next.
    struct answer {
        std::shared_ptr<std::byte> buffer;
        choice_state* state = nullptr;
        std::uint8_t* marks = nullptr; ///< (tokens)
        std::size_t seen = 0;          ///< how many of the history are marked
        std::size_t library = 0;       ///< bytes that the device's library needs
        std::shared_ptr<void> tape;
    };
    /// Arrays of (tokens), and the library's memory.
    struct lists {
        std::uint64_t *ranks, *sorted, *weights, *sums;
        std::span<std::byte> library;
    };

    std::shared_ptr<void> begin(choosing const& how, std::size_t tokens) {
        auto made = std::make_shared<answer>();
        std::size_t const marks = sizeof(choice_state);
        made->library = device_.library_bytes(tokens);
        made->buffer = device_.allocate(marks + tokens);
        made->state = reinterpret_cast<choice_state*>(made->buffer.get());
        made->marks = reinterpret_cast<std::uint8_t*>(made->buffer.get() + marks);
        device_.zero(made->buffer.get(), marks + tokens);
        mark(*made, how.forbidden, tokens, is_forbidden);
        return made;
    }

    void see(answer& m, std::span<std::int32_t const> history, std::size_t tokens) {
        mark(m, history.subspan(std::min(m.seen, history.size())), tokens, was_seen);
        m.seen = std::max(m.seen, history.size());
    }
    void mark(answer const& m, std::span<std::int32_t const> ids, std::size_t tokens, std::uint8_t with) {
        std::size_t const most = room_.size() / sizeof(std::int32_t);
        auto* const there = reinterpret_cast<std::int32_t*>(room_.data());
        for (; !ids.empty(); ids = ids.subspan(std::min(most, ids.size()))) {
            std::size_t const count = std::min(most, ids.size());
            device_.upload(ids.data(), count * sizeof(std::int32_t), there);
            each(mark_tokens{{count}, there, m.marks, tokens, with});
        }
    }

    void make(answer const& m, choosing const& how, float const* logits, std::size_t tokens, lists const& of) {
        each(rank_tokens{{tokens}, logits, m.marks, how.penalty, of.ranks});
        device_.largest(of.ranks, tokens, &m.state->largest, of.library);
        if (how.temperature == 0) return each(take_largest{{1}, m.state});
        std::size_t const top_k = how.top_k < tokens ? how.top_k : 0;
        bool const cuts = top_k > 0 || how.top_p < 1;
        if (cuts) device_.sort_by_score(of.ranks, tokens, of.sorted, of.library);
        std::uint64_t const* const order = cuts ? of.sorted : of.ranks;
        each(weigh_tokens{{tokens}, order, m.state, how.temperature, of.weights});
        device_.add_up(of.weights, tokens, of.sums, of.library);
        each(draw_token{{1}, order, of.sums, tokens, top_k, how.top_p, m.state});
    }

    template <class Kernel>
    void each(Kernel const& kernel) const {
        device_.launch(kernel, kernel.blocks());
    }

    Device const& device_;
    std::span<std::byte> room_;
};

} // namespace llamavision::gpu
