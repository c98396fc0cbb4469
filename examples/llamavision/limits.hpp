// SPDX-License-Identifier: Apache-2.0
// The limits of this machine, measured: a speed means little without them, above all on a machine that is shared with
// others.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <llamavision/support/thread_pool.hpp>

namespace program {

/// Rates of all threads together. Zero where the machine has no instruction for it.
struct limits {
    double read = 0; ///< bytes of memory a second
    double f32 = 0;  ///< operations on floats a second; a fused multiply-add counts as two
    double bf16 = 0; ///< products of bfloat16 summed to floats (AMX, vdpbf16ps, tensor cores from 8.0 on)
    double f16 = 0;  ///< the same of f16, on GPUs before 8.0
    double int8 = 0; ///< products of bytes summed to 32 bits (AMX, vpdpbusd; vpmaddubsw where those are missing)
};

class limit_probe {
  public:
    /// Holds memory to be read: twice the size of the caches, at least 256 MiB, but no more than a sixteenth of the
    /// machine's memory.
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

/// The mean of two measurements, one before and one after the work that is compared with them.
[[nodiscard]] limits between(limits const& before, limits const& after);

} // namespace program
