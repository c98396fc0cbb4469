// SPDX-License-Identifier: Apache-2.0
// How calls are opened, and how workers find, do and count chunks.
#pragma once

#include <bit>
#include <string>
#include <system_error>
#include <utility>

#include <llamavision/support/error.hpp>
#include <llamavision/support/machine_threads.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision {

namespace detail {

/// Tells the processor that this thread spins.
inline void spin() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

} // namespace detail

LLAMAVISION_INLINE thread_pool::thread_pool(std::size_t threads) {
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

LLAMAVISION_INLINE thread_pool::job* thread_pool::free_job() {
    for (job& j : jobs_)
        if (!j.taken.test_and_set(std::memory_order_acquire)) return &j;
    return nullptr;
}

LLAMAVISION_INLINE void thread_pool::run_chunks(std::size_t chunks, invoke function, void* context) {
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

LLAMAVISION_INLINE void thread_pool::open(job& j, invoke function, void* context, std::uint32_t chunks) {
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

LLAMAVISION_INLINE bool thread_pool::take_chunk(job& j) {
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

LLAMAVISION_INLINE void thread_pool::call(job& j, invoke function, void* context, std::uint32_t chunk) {
    if (j.failed.test(std::memory_order_relaxed)) return;
    try {
        function(context, chunk);
    } catch (...) {
        if (!j.failed.test_and_set(std::memory_order_relaxed)) j.thrown = std::current_exception();
    }
}

LLAMAVISION_INLINE void thread_pool::wait_until_done(job& j, std::uint32_t chunks) {
    // While other calls are open, their workers can use the core.
    for (int i = 0; i < patience_ && open_.load(std::memory_order_relaxed) == 0; ++i) {
        if (j.done.load(std::memory_order_acquire) == chunks) return;
        detail::spin();
    }
    for (std::uint32_t done; (done = j.done.load(std::memory_order_acquire)) != chunks;)
        j.done.wait(done, std::memory_order_acquire);
}

LLAMAVISION_INLINE void thread_pool::work() {
    for (std::uint32_t seen = 0; !stopping_.load(std::memory_order_acquire);) {
        for (int i = 0; i < patience_ && calls_.load(std::memory_order_relaxed) == seen; ++i) detail::spin();
        calls_.wait(seen, std::memory_order_acquire);
        take_chunks(seen);
    }
}

LLAMAVISION_INLINE void thread_pool::take_chunks(std::uint32_t& seen) {
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

LLAMAVISION_INLINE void thread_pool::stop() {
    stopping_.store(true, std::memory_order_release);
    calls_.fetch_add(1, std::memory_order_release);
    calls_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

} // namespace llamavision
