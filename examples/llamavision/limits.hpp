// SPDX-License-Identifier: Apache-2.0
// What this machine can do at most, measured: a speed without the limit beside it says little, least of all on a
// machine that is shared with others.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <llamavision/support/thread_pool.hpp>

namespace program {

/// Rates of all threads together. Zero where the machine has no instruction for it.
struct limits {
    double read = 0; ///< bytes of memory a second
    double f32 = 0;  ///< operations a second, a fused multiply-add being two: floats
    double bf16 = 0; ///< products of bfloat16 summed to floats (AMX, vdpbf16ps, tensor cores from 8.0 on)
    double f16 = 0;  ///< the same of f16, on GPUs before 8.0
    double int8 = 0; ///< products of bytes summed to 32 bits (AMX, vpdpbusd; vpmaddubsw where those are missing)
};

class limit_probe {
  public:
    /// Holds memory to be read: twice what the caches keep, at least 256 MiB, but no more than a sixteenth of the
    /// machine's.
    explicit limit_probe(llamavision::thread_pool& pool);
    ~limit_probe();
    limit_probe(limit_probe const&) = delete;
    limit_probe& operator=(limit_probe const&) = delete;

    /// Takes about a fifth of a second.
    [[nodiscard]] limits measure();
    [[nodiscard]] std::size_t bytes() const;

  private:
    struct memory;
    llamavision::thread_pool& pool_;
    std::unique_ptr<memory> memory_;
};

/// The mean of two readings, one before and one after what they are to be compared with.
[[nodiscard]] limits between(limits const& before, limits const& after);

} // namespace program
