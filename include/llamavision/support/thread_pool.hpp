// SPDX-License-Identifier: Apache-2.0
// A fork-join pool: `run` hands numbered chunks of work to whoever is free, the caller included. Decoding one token
// forks hundreds of times, so workers spin a little before they sleep, and a worker that sleeps is never waited for.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace llamavision {

/// Threads that share chunks of work. One pool may serve several sessions: a call that finds the pool taken, by another
/// thread or by an outer call, does its chunks itself.
class thread_pool {
  public:
    /// `threads` counts the caller of `run`; 0 stands for as many as the machine has.
    explicit thread_pool(std::size_t threads = 0) {
        std::size_t const cores = std::max<std::size_t>(1, std::thread::hardware_concurrency());
        if (threads == 0) threads = cores;
        patience_ = threads <= cores ? 2000 : 0; // spinning on a core that somebody else needs is no help
        try {
            for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
        } catch (...) {
            stop();
            throw;
        }
    }
    thread_pool(thread_pool const&) = delete;
    thread_pool& operator=(thread_pool const&) = delete;
    ~thread_pool() { stop(); }

    /// Threads that may work at once, the caller included.
    [[nodiscard]] std::size_t threads() const { return workers_.size() + 1; }

    /// Calls `f(chunk)` once for every chunk in [0, chunks), in any order, on any of the threads; returns when all are
    /// done. If calls throw, the first exception comes out of `run`, and chunks not yet begun are skipped.
    template <class F>
    void run(std::size_t chunks, F&& f) {
        if (workers_.empty() || chunks < 2 || chunks >= none || busy_.test_and_set(std::memory_order_acquire)) {
            for (std::size_t i = 0; i < chunks; ++i) f(i);
            return;
        }
        using function = std::remove_reference_t<F>;
        open([](void* context, std::size_t i) { (*static_cast<function*>(context))(i); },
             const_cast<void*>(static_cast<void const*>(&f)), static_cast<std::uint32_t>(chunks));
        take_chunks();
        wait_until_done(static_cast<std::uint32_t>(chunks));
        std::exception_ptr const thrown = std::exchange(thrown_, nullptr);
        failed_.clear();
        busy_.clear(std::memory_order_release);
        if (thrown) std::rethrow_exception(thrown);
    }

  private:
    using invoke = void (*)(void*, std::size_t);
    static constexpr std::uint32_t none = 0xffffffffu;

    static void pause() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ __volatile__("yield");
#endif
    }

    /// The ticket holds (call number, next chunk). It is closed while the job's fields change, so whoever read fields
    /// of another call than his ticket's fails to take a chunk.
    void open(invoke function, void* context, std::uint32_t chunks) {
        std::uint64_t const call = ((ticket_.load(std::memory_order_relaxed) >> 32) + 1) << 32;
        ticket_.store(call | none, std::memory_order_relaxed);
        function_.store(function, std::memory_order_release);
        context_.store(context, std::memory_order_release);
        chunks_.store(chunks, std::memory_order_release);
        done_.store(0, std::memory_order_relaxed);
        ticket_.store(call, std::memory_order_release);
        calls_.fetch_add(1, std::memory_order_release);
        calls_.notify_all();
    }

    void take_chunks() {
        std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
        for (;;) {
            auto const chunk = static_cast<std::uint32_t>(ticket);
            invoke const function = function_.load(std::memory_order_acquire);
            void* const context = context_.load(std::memory_order_acquire);
            std::uint32_t const chunks = chunks_.load(std::memory_order_acquire);
            if (chunk == none || chunk >= chunks) return;
            if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
            call(function, context, chunk);
            if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == chunks) done_.notify_all();
            ticket = ticket_.load(std::memory_order_acquire);
        }
    }

    void call(invoke function, void* context, std::uint32_t chunk) {
        if (failed_.test(std::memory_order_relaxed)) return;
        try {
            function(context, chunk);
        } catch (...) {
            if (!failed_.test_and_set(std::memory_order_relaxed)) thrown_ = std::current_exception();
        }
    }

    void wait_until_done(std::uint32_t chunks) {
        for (int i = 0; i < patience_; ++i) {
            if (done_.load(std::memory_order_acquire) == chunks) return;
            pause();
        }
        for (std::uint32_t done; (done = done_.load(std::memory_order_acquire)) != chunks;)
            done_.wait(done, std::memory_order_acquire);
    }

    void work() {
        for (std::uint32_t seen = 0; !stopping_.load(std::memory_order_acquire);) {
            for (int i = 0; i < patience_ && calls_.load(std::memory_order_relaxed) == seen; ++i) pause();
            calls_.wait(seen, std::memory_order_acquire);
            seen = calls_.load(std::memory_order_acquire);
            take_chunks();
        }
    }

    void stop() {
        stopping_.store(true, std::memory_order_release);
        calls_.fetch_add(1, std::memory_order_release);
        calls_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }

    std::vector<std::thread> workers_;
    int patience_ = 0;
    std::atomic_flag busy_;
    std::atomic_flag failed_;
    std::exception_ptr thrown_; ///< written by whoever set `failed_`, read when every chunk is done
    std::atomic<invoke> function_ = nullptr;
    std::atomic<void*> context_ = nullptr;
    std::atomic<std::uint32_t> chunks_ = 0;
    std::atomic<bool> stopping_ = false;
    // On cache lines of their own: these are what the threads fight for.
    alignas(64) std::atomic<std::uint64_t> ticket_ = none;
    alignas(64) std::atomic<std::uint32_t> done_ = 0;
    alignas(64) std::atomic<std::uint32_t> calls_ = 0;
};

} // namespace llamavision
