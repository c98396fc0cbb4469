// SPDX-License-Identifier: Apache-2.0
// A device that is none: the kernels of the cuda backend on the host, one thread after the other. It is slow, and shows
// that they are right: index arithmetic, the order of sums, and what becomes of every edge are those of the GPU.
#pragma once

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

#include <llamavision/backend/cuda/block.hpp>
#include <llamavision/backend/cuda/room_list.hpp>
#include <llamavision/backend/cuda/words.hpp>
#include <llamavision/support/aligned_bytes.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision::gpu {

/// How a block's threads take turns.
enum class pace : unsigned char {
    together,   ///< all do a step before any does the next
    watched,    ///< the same, and what a thread writes to shared memory the others see after a barrier, and no sooner
    first_warp, ///< a warp goes as far as it can, which is to the next barrier; then the next warp
    last_warp   ///< the same from the last warp on
};

/// Warps of a block that run one at a time, each on a thread of its own. Where a barrier is missing, the warp at the
/// front reads what the others have not written yet, or writes what they have not read.
class warp_turns {
  public:
    warp_turns(unsigned warps, bool last_first) : sums(warps), ended_(warps), step_(last_first ? warps - 1 : 1) {
        at_ = last_first ? warps - 1 : 0;
    }
    /// Waits for a warp's turn.
    void wait(unsigned of) {
        std::unique_lock lock(mutex_);
        turned_.wait(lock, [&] { return at_ == of; });
    }
    /// At a barrier: it goes on when all others have come there.
    void pass(unsigned of) {
        next();
        wait(of);
    }
    void end(unsigned of) {
        ended_[of] = true;
        next();
    }

    std::vector<float> sums; ///< of each warp

  private:
    void next() {
        std::unique_lock const lock(mutex_);
        std::size_t const warps = ended_.size();
        for (std::size_t k = 0; k < warps; ++k) {
            at_ = static_cast<unsigned>((at_ + step_) % warps);
            if (!ended_[at_]) break;
        }
        turned_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable turned_;
    std::vector<bool> ended_;
    std::size_t step_;
    unsigned at_;
};

/// The threads of one block, or those of one of its warps; see block.hpp. Every other step goes backwards, so that what
/// depends on the order of threads within a step does not stay unseen.
template <unsigned Threads>
class emulated_block {
  public:
    static constexpr unsigned threads = Threads;
    static_assert(Threads % warp == 0);

    /// @param shared empty: it is not watched
    emulated_block(std::size_t x, std::size_t y, std::size_t z, std::span<std::byte> shared)
        : x_(static_cast<unsigned>(x)), y_(static_cast<unsigned>(y)), z_(static_cast<unsigned>(z)), shared_(shared),
          known_(shared.begin(), shared.end()), written_(shared.empty() ? 0 : Threads) {}
    /// One warp, which takes turns with the others.
    emulated_block(std::size_t x, std::size_t y, std::size_t z, unsigned of_warp, warp_turns& turns)
        : emulated_block(x, y, z, {}) {
        turns_ = &turns;
        begin_ = of_warp * warp;
        end_ = begin_ + warp;
    }

    template <class T>
    class own {
      public:
        T& operator[](unsigned t) { return values_[t]; }
        T const& operator[](unsigned t) const { return values_[t]; }

      private:
        std::vector<T> values_ = std::vector<T>(Threads);
    };

    [[nodiscard]] unsigned x() const { return x_; }
    [[nodiscard]] unsigned y() const { return y_; }
    [[nodiscard]] unsigned z() const { return z_; }

    template <class F>
    void alone(F const& f) {
        backwards_ = !backwards_;
        for (unsigned k = begin_; k < end_; ++k) {
            unsigned const t = backwards_ ? end_ - 1 - (k - begin_) : k;
            if (!shared_.empty())
                for (write const& w : written_[t]) shared_[w.at] = w.value;
            f(t);
            if (!shared_.empty()) put_aside(written_[t]);
        }
    }
    template <class F>
    void each(F const& f) {
        alone(f);
        sync();
    }
    /// @throws device_error if two threads have written different values to one place
    void sync() {
        if (turns_) return turns_->pass(begin_ / warp);
        for (auto& writes : written_) {
            for (write const& w : writes) {
                if (shared_[w.at] != known_[w.at] && shared_[w.at] != w.value)
                    throw device_error("two threads write to one place in shared memory");
                shared_[w.at] = w.value;
            }
            writes.clear();
        }
        std::copy(shared_.begin(), shared_.end(), known_.begin());
    }

    template <class F>
    float sum(F const& f) {
        std::array<float, Threads> values;
        alone([&](unsigned t) { values[t] = f(t); });
        std::array<float, Threads / warp> of_warp{};
        for (unsigned w = begin_; w < end_; w += warp) {
            exchange<warp>(values.data() + w, [](float a, float b) { return a + b; });
            of_warp[w / warp] = values[w];
        }
        if (turns_) {
            turns_->sums[begin_ / warp] = of_warp[begin_ / warp];
            sync();
            std::copy(turns_->sums.begin(), turns_->sums.end(), of_warp.begin());
        }
        sync();
        return std::accumulate(of_warp.begin(), of_warp.end(), 0.0f);
    }
    template <class F, class Use>
    void warp_sum(F const& f, Use const& use) {
        together<warp>(f, use, [](float a, float b) { return a + b; });
    }
    template <class F, class Use>
    void quad_sum(F const& f, Use const& use) {
        together<4>(f, use, [](float a, float b) { return a + b; });
    }
    template <class F, class Use>
    void quad_max(F const& f, Use const& use) {
        together<4>(f, use, [](float a, float b) { return a > b ? a : b; });
    }

    /// C (16, 8) += A (16, 16) B (16, 8) in every warp, A and B of type T: c(t) and a(t) are lane t's registers,
    /// b(t, half) its two words. The layout is block.hpp's.
    template <class T, class C, class A, class B>
    void mma(C const& c, A const& a, B const& b) {
        for (unsigned first = begin_; first < end_; first += warp) {
            float left[16][16], right[16][8];
            for (unsigned lane = 0; lane < warp; ++lane) {
                unsigned const g = lane / 4, column = lane % 4 * 2;
                for (unsigned half = 0; half < 2; ++half)
                    for (unsigned further = 0; further < 2; ++further) {
                        std::uint32_t const word = a(first + lane)[2 * further + half];
                        left[g + 8 * half][column + 8 * further] = first_of<T>(word);
                        left[g + 8 * half][column + 8 * further + 1] = second_of<T>(word);
                    }
                for (unsigned half = 0; half < 2; ++half) {
                    std::uint32_t const word = b(first + lane, half);
                    right[column + 8 * half][g] = first_of<T>(word);
                    right[column + 8 * half + 1][g] = second_of<T>(word);
                }
            }
            for (unsigned lane = 0; lane < warp; ++lane)
                for (unsigned k = 0; k < 4; ++k) {
                    float sum = 0;
                    for (unsigned i = 0; i < 16; ++i)
                        sum += left[lane / 4 + k / 2 * 8][i] * right[i][lane % 4 * 2 + k % 2];
                    c(first + lane)[k] += sum;
                }
        }
    }

  private:
    /// Every value with that of the lane whose number differs in one bit, in turn for each bit: all become the same.
    template <unsigned Width, class Op>
    static void exchange(float* values, Op const& op) {
        for (unsigned offset = Width / 2; offset > 0; offset /= 2) {
            std::array<float, Width> before;
            std::copy_n(values, Width, before.begin());
            for (unsigned i = 0; i < Width; ++i) values[i] = op(before[i], before[i ^ offset]);
        }
    }
    template <unsigned Width, class F, class Use, class Op>
    void together(F const& f, Use const& use, Op const& op) {
        std::array<float, Threads> values;
        alone([&](unsigned t) { values[t] = f(t); });
        for (unsigned w = begin_; w < end_; w += Width) exchange<Width>(values.data() + w, op);
        alone([&](unsigned t) { use(t, values[t]); });
    }

    struct write {
        std::size_t at;
        std::byte value;
    };
    /// What a thread has written since the last barrier is its own.
    void put_aside(std::vector<write>& writes) {
        writes.clear();
        if (std::memcmp(shared_.data(), known_.data(), shared_.size()) == 0) return;
        for (std::size_t i = 0; i < shared_.size(); ++i)
            if (shared_[i] != known_[i]) writes.push_back({i, std::exchange(shared_[i], known_[i])});
    }

    unsigned x_, y_, z_, begin_ = 0, end_ = Threads;
    bool backwards_ = true;
    warp_turns* turns_ = nullptr;
    std::span<std::byte> shared_;
    std::vector<std::byte> known_;            ///< what all threads know to stand there
    std::vector<std::vector<write>> written_; ///< by each thread, since the last barrier
};

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
        auto const room = aligned_bytes(bytes);
        std::memset(room.get(), 0xff, bytes); // NaN, until somebody writes
        auto const guard = lock();
        state_->rooms.add(room.get(), bytes);
        return {room.get(), [room, state = state_](std::byte* p) {
                    std::unique_lock const turn(state->mutex);
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
    void wait() const {}
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
            known = pass.get();
            tape = std::move(pass);
        } else
            ++state_->played;
        set_numbers const now = numbers_at(state_->positions.data(), positions);
        launch(now, now.blocks());
        for (auto const& step : known->steps) step();
    }
    /// How often a recorded pass was played again.
    [[nodiscard]] std::size_t played() const { return state_->played; }

    template <class Kernel>
    void launch(Kernel const& kernel, grid blocks) const {
        ask([=, threads = options_.threads] { run(kernel, blocks, threads); });
    }

    void multiply(many_rows const& p) const {
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
        room_list rooms;
        std::array<std::uint32_t, set_numbers::most> positions{};
        std::size_t played = 0;
    };

    template <class F>
    void ask(F const& step) const {
        if (state_->recording)
            state_->recording->steps.emplace_back(step);
        else
            step();
    }
    void move(void const* from, std::size_t bytes, void* to) const {
        if (state_->recording) throw device_error("memory crosses to the host while a pass is recorded");
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
                }
    }
    template <class Kernel>
    static void run_warps(Kernel const& kernel, grid at, typename Kernel::shared& shared, bool last_first) {
        constexpr unsigned warps = Kernel::threads / warp;
        warp_turns turns(warps, last_first);
        std::vector<std::jthread> all;
        for (unsigned w = 0; w < warps; ++w)
            all.emplace_back([&, w] {
                emulated_block<Kernel::threads> block(at.x, at.y, at.z, w, turns);
                turns.wait(w);
                kernel(block, shared);
                turns.end(w);
            });
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

} // namespace llamavision::gpu
