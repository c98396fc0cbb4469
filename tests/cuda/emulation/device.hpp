// SPDX-License-Identifier: Apache-2.0
// A device that is none: the kernels of the cuda backend on the host, one thread after the other. It is slow, and shows
// that they are right: index arithmetic, the order of sums, and what becomes of every edge are those of the GPU.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "block.hpp"
#include <llamavision/backend/cuda/device/allocation_list.hpp>
#include <llamavision/backend/cuda/dispatch/device_backend.hpp>
#include <llamavision/backend/cuda/kernels/block.hpp>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/backend/cuda/kernels/many_rows.hpp>
#include <llamavision/support/aligned_bytes.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision::gpu {

struct emulated_options {
    std::size_t workspace = std::size_t{1} << 20; ///< bytes; small, so that tests cross its borders
    std::size_t processors = 4;
    cores tensor_cores = cores::bf16;
    pace threads = pace::together; ///< all others are slow, and find barriers that are missing
    std::size_t available = std::size_t{1} << 40;
};

/// What `words` ask of a device.
class emulated_device {
  public:
    emulated_device() : emulated_device(emulated_options{}) {}
    explicit emulated_device(emulated_options options)
        : options_(options), workspace_(aligned_bytes(options.workspace)) {}

    [[nodiscard]] std::string_view name() const { return "cuda, emulated"; }
    [[nodiscard]] std::shared_ptr<std::byte> allocate(std::size_t bytes) const {
        outside_of_passes();
        auto const room = aligned_bytes(bytes);
        std::memset(room.get(), 0xff, bytes); // NaN, until somebody writes
        auto const guard = lock();
        state_->rooms.add(room.get(), bytes);
        return {room.get(), [room, state = state_](std::byte* p) {
                    std::unique_lock const turn(state->mutex);
                    state->given_back |= state->recording != nullptr;
                    state->rooms.remove(p);
                }};
    }
    [[nodiscard]] bool holds(void const* p) const {
        auto const guard = lock();
        return state_->rooms.holds(p);
    }
    [[nodiscard]] std::size_t available() const { return options_.available; }
    void upload(void const* from, std::size_t bytes, void* to) const { move(from, bytes, to); }
    void download(void const* from, std::size_t bytes, void* to) const { move(from, bytes, to); }
    void wait() const { outside_of_passes(); }
    void copy(void const* from, std::size_t bytes, void* to) const {
        ask([=] {
            if (bytes > 0) std::memmove(to, from, bytes);
        });
    }
    void zero(void* to, std::size_t bytes) const {
        ask([=] {
            if (bytes > 0) std::memset(to, 0, bytes);
        });
    }
    [[nodiscard]] std::span<std::byte> workspace() const { return {workspace_.get(), options_.workspace}; }
    [[nodiscard]] std::string kernels() const {
        constexpr std::string_view of[] = {"none", "f16", "bf16"};
        return std::to_string(options_.processors)
               + " processors, tensor cores: " + std::string(of[static_cast<std::size_t>(options_.tensor_cores)]);
    }
    [[nodiscard]] std::size_t processors() const { return options_.processors; }
    [[nodiscard]] cores tensor_cores() const { return options_.tensor_cores; }
    [[nodiscard]] std::unique_lock<std::recursive_mutex> lock() const { return std::unique_lock(state_->mutex); }
    [[nodiscard]] std::uint32_t const* positions() const {
        return state_->recording ? state_->positions.data() : nullptr;
    }

    /// As a GPU does it: what is asked while a pass is recorded is done only when it is played.
    void replay(std::shared_ptr<void>& tape, std::span<std::uint64_t const> key, std::span<std::size_t const> positions,
                std::function<void()> const& body) const {
        auto const guard = lock();
        auto const* known = static_cast<recorded_pass const*>(tape.get());
        if (!known || !std::equal(key.begin(), key.end(), known->key.begin(), known->key.end())) {
            auto pass = std::make_shared<recorded_pass>();
            pass->key.assign(key.begin(), key.end());
            state_->recording = pass.get();
            try {
                body();
            } catch (...) {
                state_->recording = nullptr;
                throw;
            }
            state_->recording = nullptr;
            if (std::exchange(state_->given_back, false)) throw device_error("memory goes while a pass is recorded");
            known = pass.get();
            tape = std::move(pass);
        } else
            ++state_->played;
        set_numbers const now = numbers_at(state_->positions.data(), positions);
        if (now.count > 0) launch(now, now.blocks());
        for (auto const& step : known->steps) step();
    }
    /// How often a recorded pass was played again.
    [[nodiscard]] std::size_t played() const { return state_->played; }

    /// @throws device_error where a GPU would refuse
    template <class Kernel>
    void launch(Kernel const& kernel, grid blocks) const {
        static_assert(fits_a_launch<Kernel>);
        if (!fits_a_launch_of(blocks)) throw device_error("a launch of no blocks, or of too many");
        ask([=, threads = options_.threads] { run(kernel, blocks, threads); });
    }

    void multiply(many_rows const& p) const {
        if (p.outputs == 0 || p.rows == 0 || p.columns == 0 || p.stride < p.outputs)
            throw device_error("the library has no product of no rows, outputs or columns");
        ask([=] {
            switch (p.type) {
            case format::bf16: return multiply(p, static_cast<bf16 const*>(p.w), static_cast<bf16 const*>(p.x));
            case format::f16: return multiply(p, static_cast<f16 const*>(p.w), static_cast<f16 const*>(p.x));
            default: return multiply(p, static_cast<float const*>(p.w), static_cast<float const*>(p.x));
            }
        });
    }

    /// What CUB would do; the room is of no use, and must be there.
    [[nodiscard]] static std::size_t library_bytes(std::size_t count) { return count + 1; }
    void largest(std::uint64_t const* of, std::size_t count, std::uint64_t* to, std::span<std::byte> room) const {
        ask([=] {
            fill(room, count);
            *to = *std::max_element(of, of + count);
        });
    }
    void sort_by_score(std::uint64_t const* of, std::size_t count, std::uint64_t* to, std::span<std::byte> room) const {
        ask([=] {
            fill(room, count);
            for (std::size_t i = 0; i < count; ++i) to[i] = of[i]; // g++ 12 fears for std::copy_n
            std::stable_sort(to, to + count, [](std::uint64_t a, std::uint64_t b) { return a >> 32 > b >> 32; });
        });
    }
    void add_up(std::uint64_t const* of, std::size_t count, std::uint64_t* to, std::span<std::byte> room) const {
        ask([=] {
            fill(room, count);
            std::inclusive_scan(of, of + count, to);
        });
    }

  private:
    static void fill(std::span<std::byte> room, std::size_t count) {
        std::fill_n(room.data(), library_bytes(count), std::byte{0xff});
    }
    struct recorded_pass {
        std::vector<std::uint64_t> key;
        std::vector<std::function<void()>> steps;
    };
    struct state {
        std::recursive_mutex mutex;
        recorded_pass* recording = nullptr;
        allocation_list rooms;
        std::array<std::uint32_t, set_numbers::most> positions{};
        bool given_back = false; ///< memory, while a pass was recorded
        std::size_t played = 0;
    };

    /// Takes memory, moves it to or from the host, or waits: what must not be done while a pass is recorded.
    void outside_of_passes() const {
        if (state_->recording) throw device_error("memory or the host takes part in a pass that is recorded");
    }
    template <class F>
    void ask(F const& step) const {
        if (state_->recording)
            state_->recording->steps.emplace_back(step);
        else
            step();
    }
    void move(void const* from, std::size_t bytes, void* to) const {
        outside_of_passes();
        if (bytes > 0) std::memmove(to, from, bytes);
    }

    template <class Kernel>
    static void run(Kernel const& kernel, grid blocks, pace threads) {
        for (std::size_t z = 0; z < blocks.z; ++z)
            for (std::size_t y = 0; y < blocks.y; ++y)
                for (std::size_t x = 0; x < blocks.x; ++x) {
                    auto const shared = std::make_unique_for_overwrite<typename Kernel::shared>();
                    std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(*shared));
                    auto const bytes = std::as_writable_bytes(std::span(shared.get(), 1));
                    bool const has_shared = !std::is_empty_v<typename Kernel::shared>;
                    if (threads == pace::first_warp || threads == pace::last_warp) {
                        run_warps(kernel, {x, y, z}, *shared, threads == pace::last_warp);
                        continue;
                    }
                    bool const watched = has_shared && threads == pace::watched;
                    emulated_block<Kernel::threads> block(x, y, z, watched ? bytes : bytes.first(0));
                    kernel(block, *shared);
                    block.finish();
                }
    }
    template <class Kernel>
    static void run_warps(Kernel const& kernel, grid at, typename Kernel::shared& shared, bool last_first) {
        constexpr unsigned warps = Kernel::threads / warp;
        warp_turns turns(warps, last_first);
        std::exception_ptr failed;
        {
            std::vector<std::jthread> all;
            for (unsigned w = 0; w < warps; ++w)
                all.emplace_back([&, w] {
                    turns.wait(w);
                    try {
                        emulated_block<Kernel::threads> block(at.x, at.y, at.z, w, turns);
                        kernel(block, shared);
                        block.finish();
                    } catch (...) { failed = std::current_exception(); }
                    turns.end(w);
                });
        }
        if (failed) std::rethrow_exception(failed);
    }

    template <class T>
    static void multiply(many_rows const& p, T const* w, T const* x) {
        for (std::size_t r = 0; r < p.rows; ++r)
            for (std::size_t o = 0; o < p.outputs; ++o) {
                double sum = 0;
                for (std::size_t i = 0; i < p.columns; ++i)
                    sum += static_cast<double>(widen(x[r * p.columns + i]))
                           * static_cast<double>(widen(w[o * p.columns + i]));
                float& y = p.y[r * p.stride + o];
                sum = static_cast<double>(p.scale) * sum + static_cast<double>(p.bias ? p.bias[o] : 0.0f);
                y = static_cast<float>(p.add ? sum + static_cast<double>(y) : sum);
            }
    }

    emulated_options options_;
    std::shared_ptr<std::byte> workspace_;
    std::shared_ptr<state> state_ = std::make_shared<state>();
};

extern template class device_backend<emulated_device>;

} // namespace llamavision::gpu
