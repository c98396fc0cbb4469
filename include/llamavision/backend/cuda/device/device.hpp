// SPDX-License-Identifier: Apache-2.0
// An NVIDIA GPU, as dispatch/ uses it. CUDA's own headers are not needed here, only in the translation units of
// separate/cuda/ (CMake: llamavision_add_cuda).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include <llamavision/backend/cuda/kernels/block.hpp>
#include <llamavision/backend/cuda/kernels/many_rows.hpp>

namespace llamavision {

struct cuda_options {
    int device = 0; ///< as `nvidia-smi` counts them, or CUDA_VISIBLE_DEVICES
    std::size_t workspace = std::size_t{128}
                            << 20; ///< bytes for products and attention, beside what the memory plan counts
};

namespace gpu {

/// A handle: copies share the device's queue. Any number of threads may call it; calls are done one after the other.
/// Every function throws device_error if the GPU or its driver fails; the message says what it was doing.
class cuda_device {
  public:
    /// @throws device_error if there is no such device, or it cannot be used
    explicit cuda_device(cuda_options options);

    [[nodiscard]] std::string_view name() const { return "cuda"; }
    [[nodiscard]] std::string model() const;   ///< "NVIDIA H200"
    [[nodiscard]] std::string kernels() const; ///< what decides the bits of results: GPU, processors, cuBLASLt

    /// @throws memory_error with the figures
    [[nodiscard]] std::shared_ptr<std::byte> allocate(std::size_t bytes) const;
    [[nodiscard]] std::size_t available() const;
    /// Through pinned buffers, so that a mapped file is read while the previous piece is copied.
    void upload(void const* from, std::size_t bytes, void* to) const;
    void download(void const* from, std::size_t bytes, void* to) const;
    void copy(void const* from, std::size_t bytes, void* to) const;
    void zero(void* to, std::size_t bytes) const;
    [[nodiscard]] bool holds(void const* p) const;
    /// Returns when all earlier calls are done.
    void wait() const;

    template <class Kernel>
    void launch(Kernel const& kernel, grid blocks) const; // launch.cuh
    void multiply(many_rows const& product) const;

    // By CUB (separate/cuda/choosing.cu), in `library_bytes` of memory that the caller gives.
    [[nodiscard]] std::size_t library_bytes(std::size_t count) const;
    void largest(std::uint64_t const* of, std::size_t count, std::uint64_t* to, std::span<std::byte> room) const;
    void sort_by_score(std::uint64_t const* of, std::size_t count, std::uint64_t* to, std::span<std::byte> room) const;
    void add_up(std::uint64_t const* of, std::size_t count, std::uint64_t* to, std::span<std::byte> room) const;

    [[nodiscard]] std::span<std::byte> workspace() const;
    [[nodiscard]] std::size_t processors() const;
    [[nodiscard]] cores tensor_cores() const;
    [[nodiscard]] std::uint32_t const* positions() const;
    void replay(std::shared_ptr<void>& tape, std::span<std::uint64_t const> key, std::span<std::size_t const> positions,
                std::function<void()> const& body) const;

    /// While a thread holds it, no other thread's launches come between its own.
    [[nodiscard]] std::unique_lock<std::recursive_mutex> lock() const;

  private:
    struct state;
    [[nodiscard]] void* stream() const;
    [[nodiscard]] static int
    compiled_for(); ///< the compute capability that this device's kernels are compiled for, times ten
    static void check_launch();
    static void check(int status, char const* doing); ///< @param status a cudaError_t

    std::shared_ptr<state> state_;
};

} // namespace gpu
} // namespace llamavision
