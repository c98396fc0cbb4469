// SPDX-License-Identifier: Apache-2.0
// A fork-join pool: `run` hands out numbered chunks of work to its workers and to the caller. Decoding one token calls
// it hundreds of times, so workers spin a little before they sleep, and nobody waits for a worker that sleeps. Several
// threads may call at once: a worker takes a chunk of each open call in turn.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <thread>
#include <type_traits>
#include <vector>

#include <llamavision/support/lent_memory.hpp>
#include <llamavision/support/separate.hpp>

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
    explicit thread_pool(std::size_t threads = 0);
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

    [[nodiscard]] std::uint32_t bit_of(job const& j) const { return 1u << (&j - jobs_.data()); }
    job* free_job();
    void run_chunks(std::size_t chunks, invoke function, void* context);
    void open(job& j, invoke function, void* context, std::uint32_t chunks);
    /// Does one chunk, if one is left.
    bool take_chunk(job& j);
    static void call(job& j, invoke function, void* context, std::uint32_t chunk);
    void wait_until_done(job& j, std::uint32_t chunks);
    void work();
    /// Takes a chunk of every open call in turn, until none has chunks left; `seen` counts the calls known so far.
    void take_chunks(std::uint32_t& seen);
    void stop();

    memory_lender memory_;
    std::vector<std::thread> workers_;
    int patience_ = 0;
    std::array<job, 8> jobs_;
    std::atomic<bool> stopping_ = false;
    alignas(64) std::atomic<std::uint32_t> open_ = 0; ///< bits of the jobs that may have chunks left
    alignas(64) std::atomic<std::uint32_t> calls_ = 0;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/support/thread_pool.ipp>
#endif
