// SPDX-License-Identifier: Apache-2.0
// A block of threads that is none: the host does what each does, one after the other, and shows what a GPU would leave
// to chance: registers and memory that nobody wrote, what comes before a barrier, wide reads from where they do not
// lie.
#pragma once

#include <array>
#include <bit>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <llamavision/backend/cuda/kernels/block.hpp>
#include <llamavision/backend/cuda/kernels/values.hpp>
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
        std::vector<T> values_ = unwritten();
        /// As registers are: NaN.
        static std::vector<T> unwritten() {
            static_assert(std::is_trivially_copyable_v<T>);
            std::vector<T> values(Threads);
            std::memset(static_cast<void*>(values.data()), 0xff, Threads * sizeof(T));
            return values;
        }
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

    /// Until a thread waits for them, what stands there is no number.
    void copy_async(unsigned t, void* to, void const* from, bool is) {
        aligned_for<four_words>(to);
        aligned_for<four_words>(from);
        std::memset(to, 0xff, 16);
        on_the_way_[t].push_back({to, is ? from : nullptr});
    }
    void wait_for_copies(unsigned t) {
        for (brought const& b : on_the_way_[t])
            if (b.from)
                std::memcpy(b.to, b.from, 16);
            else
                std::memset(b.to, 0, 16);
        on_the_way_[t].clear();
    }
    /// @throws device_error if something is on its way still
    void finish() const {
        for (auto const& of_thread : on_the_way_)
            if (!of_thread.empty()) throw device_error("a kernel ends before what it has sent for is there");
    }

    template <class From, class To>
    void load_tiles(From const& from, To const& to) {
        load_tiles_as(from, to, [](auto const& tile, unsigned g, unsigned column) {
            return pair{tile[g][column], tile[g][column + 1]};
        });
    }
    template <class From, class To>
    void load_transposed_tiles(From const& from, To const& to) {
        load_tiles_as(from, to, [](auto const& tile, unsigned g, unsigned column) {
            return pair{tile[column][g], tile[column + 1][g]};
        });
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

    struct brought {
        void* to;
        void const* from; ///< null: zeros
    };
    using pair = std::array<std::uint16_t, 2>;
    /// Lane 4g + c gets take(tile, g, 2c) of each of four tiles.
    template <class From, class To, class Take>
    void load_tiles_as(From const& from, To const& to, Take const& take) {
        std::array<std::uint16_t[8], Threads> row;
        read([&](unsigned t) {
            aligned_for<four_words>(from(t));
            std::memcpy(row[t], from(t), 16);
        });
        for (unsigned t = begin_; t < end_; ++t)
            for (unsigned i = 0; i < 4; ++i)
                to(t)[i] = std::bit_cast<std::uint32_t>(take(&row[t / warp * warp + 8 * i], t % warp / 4, t % 4 * 2));
    }
    /// A step that writes nothing to shared memory.
    template <class F>
    void read(F const& f) {
        for (unsigned t = begin_; t < end_; ++t) {
            if (!shared_.empty())
                for (write const& w : written_[t]) shared_[w.at] = w.value;
            f(t);
            if (!shared_.empty())
                for (write const& w : written_[t]) shared_[w.at] = known_[w.at];
        }
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
    std::vector<std::vector<brought>> on_the_way_ = std::vector<std::vector<brought>>(Threads);
};

} // namespace llamavision::gpu
