// SPDX-License-Identifier: Apache-2.0
// A fork-join pool: `run` hands out numbered chunks of work to its workers and to the caller. Decoding one token calls
// it hundreds of times, so workers spin a little before they sleep, and nobody waits for a worker that sleeps. Several
// threads may call at once: a worker takes a chunk of each open call in turn.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <llamavision/support/error.hpp>
#include <llamavision/support/lent_memory.hpp>
#include <llamavision/support/machine_threads.hpp>

namespace llamavision {

/// One pool may serve several models and sessions: each caller works on its own call, and the workers on all calls. At
/// most eight calls are open at a time; the caller of a ninth does its chunks alone.
///
/// A worker that waits spins for some tens of microseconds, then sleeps; so does a caller that waits for its last
/// chunks. Another program may have taken a core for milliseconds; a caller that sleeps leaves its own core to the
/// worker that lost one.
class thread_pool {
  public:
    /// @param threads with the caller of `run`; 0: as many as this process may run (`available_threads`)
    /// @throws error if the system starts fewer
    explicit thread_pool(std::size_t threads = 0) {
        std::size_t const cores = available_threads();
        if (threads == 0) threads = cores;
        patience_ = threads <= cores ? 2000 : 0; // more threads than cores: spinning keeps a core from another thread
        try {
            for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
        } catch (std::system_error const& fault) {
            std::size_t const started = workers_.size() + 1;
            stop();
            throw error("of the " + std::to_string(threads) + " threads that were asked for, only "
                        + std::to_string(started) + " can be started: " + fault.code().message());
        } catch (...) {
            stop();
            throw;
        }
    }
    thread_pool(thread_pool const&) = delete;
    thread_pool& operator=(thread_pool const&) = delete;
    ~thread_pool() { stop(); }

    /// Threads that may work at a time for one caller, with the caller.
    [[nodiscard]] std::size_t threads() const { return workers_.size() + 1; }

    /// Memory for the time of one call; what was given back is kept for later calls of any thread.
    /// @throws memory_error
    [[nodiscard]] memory_lender::lent lend(std::size_t bytes) { return memory_.lend(bytes); }
    [[nodiscard]] memory_lender const& memory() const { return memory_; }

    /// Calls `f(chunk)` once for every chunk in [0, chunks), in any order, on any of the threads; returns when all are
    /// done. If calls throw, the first exception comes out of `run`, and chunks not yet begun are skipped.
    template <class F>
    void run(std::size_t chunks, F&& f) {
        using function = std::remove_reference_t<F>;
        run_chunks(
            chunks, [](void* context, std::size_t i) { (*static_cast<function*>(context))(i); },
            const_cast<void*>(static_cast<void const*>(&f)));
    }

  private:
    using invoke = void (*)(void*, std::size_t);
    static constexpr std::uint32_t none = 0xffffffffu;

    /// An open call. Its ticket holds (call number, next chunk). While the other fields change, the ticket says that no
    /// chunk is left; so a thread that read the fields of one call and the ticket of another takes no chunk.
    struct job {
        std::atomic_flag taken;
        std::atomic_flag failed;
        std::exception_ptr thrown; ///< written by the thread that set `failed`, read when every chunk is done
        std::atomic<invoke> function = nullptr;
        std::atomic<void*> context = nullptr;
        std::atomic<std::uint32_t> chunks = 0;
        // On cache lines of their own: all threads write these.
        alignas(64) std::atomic<std::uint64_t> ticket = none;
        alignas(64) std::atomic<std::uint32_t> done = 0;
    };

    static void pause() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ __volatile__("yield");
#endif
    }

    [[nodiscard]] std::uint32_t bit_of(job const& j) const { return 1u << (&j - jobs_.data()); }

    job* free_job() {
        for (job& j : jobs_)
            if (!j.taken.test_and_set(std::memory_order_acquire)) return &j;
        return nullptr;
    }

    void run_chunks(std::size_t chunks, invoke function, void* context) {
        job* const mine = workers_.empty() || chunks < 2 || chunks >= none ? nullptr : free_job();
        if (!mine) {
            for (std::size_t i = 0; i < chunks; ++i) function(context, i);
            return;
        }
        open(*mine, function, context, static_cast<std::uint32_t>(chunks));
        while (take_chunk(*mine)) {}
        open_.fetch_and(~bit_of(*mine), std::memory_order_relaxed);
        wait_until_done(*mine, static_cast<std::uint32_t>(chunks));
        std::exception_ptr const thrown = std::exchange(mine->thrown, nullptr);
        mine->failed.clear();
        mine->taken.clear(std::memory_order_release);
        if (thrown) std::rethrow_exception(thrown);
    }

    void open(job& j, invoke function, void* context, std::uint32_t chunks) {
        std::uint64_t const call = ((j.ticket.load(std::memory_order_relaxed) >> 32) + 1) << 32;
        j.ticket.store(call | none, std::memory_order_relaxed);
        j.function.store(function, std::memory_order_release);
        j.context.store(context, std::memory_order_release);
        j.chunks.store(chunks, std::memory_order_release);
        j.done.store(0, std::memory_order_relaxed);
        j.ticket.store(call, std::memory_order_release);
        open_.fetch_or(bit_of(j), std::memory_order_release);
        calls_.fetch_add(1, std::memory_order_release);
        calls_.notify_all();
    }

    /// Does one chunk, if one is left.
    bool take_chunk(job& j) {
        std::uint64_t ticket = j.ticket.load(std::memory_order_acquire);
        for (;;) {
            auto const chunk = static_cast<std::uint32_t>(ticket);
            invoke const function = j.function.load(std::memory_order_acquire);
            void* const context = j.context.load(std::memory_order_acquire);
            std::uint32_t const chunks = j.chunks.load(std::memory_order_acquire);
            if (chunk == none || chunk >= chunks) return false;
            if (!j.ticket.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
            call(j, function, context, chunk);
            if (j.done.fetch_add(1, std::memory_order_acq_rel) + 1 == chunks) j.done.notify_all();
            return true;
        }
    }

    static void call(job& j, invoke function, void* context, std::uint32_t chunk) {
        if (j.failed.test(std::memory_order_relaxed)) return;
        try {
            function(context, chunk);
        } catch (...) {
            if (!j.failed.test_and_set(std::memory_order_relaxed)) j.thrown = std::current_exception();
        }
    }

    void wait_until_done(job& j, std::uint32_t chunks) {
        // While other calls are open, their workers can use the core.
        for (int i = 0; i < patience_ && open_.load(std::memory_order_relaxed) == 0; ++i) {
            if (j.done.load(std::memory_order_acquire) == chunks) return;
            pause();
        }
        for (std::uint32_t done; (done = j.done.load(std::memory_order_acquire)) != chunks;)
            j.done.wait(done, std::memory_order_acquire);
    }

    void work() {
        for (std::uint32_t seen = 0; !stopping_.load(std::memory_order_acquire);) {
            for (int i = 0; i < patience_ && calls_.load(std::memory_order_relaxed) == seen; ++i) pause();
            calls_.wait(seen, std::memory_order_acquire);
            take_chunks(seen);
        }
    }

    /// Takes a chunk of every open call in turn, until none has chunks left; `seen` counts the calls known so far.
    void take_chunks(std::uint32_t& seen) {
        for (std::uint32_t finished = 0, turn = 0;;) {
            if (std::uint32_t const now = calls_.load(std::memory_order_acquire); now != seen) {
                seen = now;
                finished = 0;
            }
            std::uint32_t const left = open_.load(std::memory_order_acquire) & ~finished;
            if (left == 0) return;
            std::uint32_t const later = left & ~((2u << turn) - 1);
            turn = static_cast<std::uint32_t>(std::countr_zero(later ? later : left));
            if (!take_chunk(jobs_[turn])) finished |= 1u << turn; // until the next call
        }
    }

    void stop() {
        stopping_.store(true, std::memory_order_release);
        calls_.fetch_add(1, std::memory_order_release);
        calls_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }

    memory_lender memory_;
    std::vector<std::thread> workers_;
    int patience_ = 0;
    std::array<job, 8> jobs_;
    std::atomic<bool> stopping_ = false;
    alignas(64) std::atomic<std::uint32_t> open_ = 0; ///< bits of the jobs that may have chunks left
    alignas(64) std::atomic<std::uint32_t> calls_ = 0;
};

} // namespace llamavision
