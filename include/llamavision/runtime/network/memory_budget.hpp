// SPDX-License-Identifier: Apache-2.0
// Whether a model fits, before anything large is allocated; and whether a session or a picture still fits beside it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <llamavision/runtime/network/network.hpp>
#include <llamavision/runtime/network/options.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/size_text.hpp>

namespace llamavision {

/// How a memory budget is divided.
struct memory_shares {
    std::size_t mapped = SIZE_MAX;   ///< bytes that mapped weights may occupy while sessions and pictures are in use
    std::size_t sessions = SIZE_MAX; ///< bytes of sessions and pictures, beside the weights
};

namespace detail {
inline constexpr char const* read_from_disk =
    "with load_options::beyond_memory (--beyond-memory) it reads them from the disk for every token, slowly";
inline constexpr char const* read_as_needed =
    "a file of packed weights (load_options::packed, --packed) is read as it is needed";

/// "2 pictures and 3 conversations of 8192 positions"
[[nodiscard]] inline std::string planned_text(planned_use const& use, bool sees) {
    auto const count = [](std::size_t n, std::string const& thing) {
        return n == 1 ? "a " + thing : std::to_string(n) + " " + thing + "s";
    };
    return (sees ? count(use.pictures, "picture") + " and " : "") + count(use.conversations, "conversation") + " of "
           + std::to_string(use.context) + " positions";
}
} // namespace detail

/// Divides the budget of the options among the weights and what the model is loaded for.
/// @param use with its context settled; its conversations are those of the plan
/// @param on_device whether the budget is a backend's own memory, into which nothing is mapped
/// @throws memory_error with the figures
[[nodiscard]] inline memory_shares share_memory(memory_plan const& m, planned_use const& use,
                                                network_options const& options, bool on_device) {
    if (options.memory_budget == 0) return {};
    std::size_t const budget = options.memory_budget;
    bool const beyond = options.beyond_memory;
    std::size_t const beside = m.beside_weights(use.context, use.pictures), need = m.weights.own + beside,
                      mapped = on_device ? 0 : m.weights.mapped;
    if (beyond || need + mapped <= budget) {
        std::size_t const fixed = m.weights.own + (beyond ? 0 : mapped);
        return {budget - std::min(budget, need), budget - std::min(budget, fixed)};
    }
    bool const in_files = need <= budget; // without the mapped weights it fits
    std::size_t const counted = in_files ? mapped : 0;
    std::string advice = "; smaller formats for its weights take less, a smaller load_options::context (--context) too";
    if (in_files)
        advice += std::string(", and ") + detail::read_from_disk;
    else if (!on_device)
        advice += std::string(", and ") + detail::read_as_needed;
    throw memory_error("the model takes " + size_text(need + counted) + " of memory (weights "
                       + size_text(m.weights.own + counted)
                       + (in_files ? ", of which " + size_text(mapped) + " lie in files; " : ", ")
                       + detail::planned_text(use, m.image > 0) + " " + size_text(beside) + ") and " + size_text(budget)
                       + " are available" + advice);
}

/// Checks the weights that a backend with memory of its own leaves to the host, of whose memory `budget` bytes are
/// left.
/// @throws memory_error with the figures
inline void check_host_memory(weight_memory const& w, std::size_t budget, bool beyond) {
    bool const in_files = w.host <= budget; // without the mapped weights it fits
    if (in_files && (beyond || w.host + w.mapped <= budget)) return;
    throw memory_error("what the model leaves to the CPU takes " + size_text(in_files ? w.host + w.mapped : w.host)
                       + " of the machine's memory"
                       + (in_files ? " (of which " + size_text(w.mapped) + " lie in files)" : "") + ", and "
                       + size_text(budget)
                       + " are available; more layers on the GPU (--gpu-layers) or smaller formats leave less, and "
                       + (in_files ? detail::read_from_disk : detail::read_as_needed));
}

/// Counts the memory that sessions and pictures of one network hold, from any number of threads. What they hold is
/// counted in full when it is allocated, though the system gives pages only as they are written: what was promised can
/// then be kept.
class memory_ledger {
  public:
    explicit memory_ledger(std::size_t budget) : budget_(budget), left_(budget) {}

    [[nodiscard]] std::size_t left() const { return left_.load(); }

    /// Memory that `allocate` returns, counted until its last owner is gone; the ledger lives as long.
    /// @throws memory_error with the figures, and then allocates nothing
    template <class Allocate>
    [[nodiscard]] static std::shared_ptr<std::byte> take(std::shared_ptr<memory_ledger> const& ledger,
                                                         std::size_t bytes, Allocate const& allocate) {
        auto held = std::make_shared<holding>(ledger, bytes);
        held->memory = allocate();
        std::byte* const begin = held->memory.get();
        return {std::move(held), begin};
    }

  private:
    struct holding {
        std::shared_ptr<memory_ledger> ledger;
        std::size_t bytes;
        std::shared_ptr<std::byte> memory{};

        holding(std::shared_ptr<memory_ledger> from, std::size_t count) : ledger(std::move(from)), bytes(count) {
            ledger->subtract(bytes);
        }
        holding(holding const&) = delete;
        holding& operator=(holding const&) = delete;
        ~holding() {
            memory.reset();
            ledger->left_ += bytes;
        }
    };

    void subtract(std::size_t bytes) {
        std::size_t left = left_.load();
        do {
            if (bytes > left)
                throw memory_error(size_text(bytes) + " of memory are asked for, and " + size_text(left)
                                   + " are left of the " + size_text(budget_)
                                   + " that the weights leave to sessions and pictures; fewer or smaller sessions, and "
                                     "fewer pictures, take less");
        } while (!left_.compare_exchange_weak(left, left - bytes));
    }

    std::size_t const budget_;
    std::atomic<std::size_t> left_;
};

} // namespace llamavision
