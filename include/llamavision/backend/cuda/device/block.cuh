// SPDX-License-Identifier: Apache-2.0
// One block of threads on a GPU; see kernels/block.hpp. `own` memory is registers, and a step is the thread's own code.
#pragma once

#include <cstdint>
#include <type_traits>

#include <llamavision/backend/cuda/kernels/block.hpp>

namespace llamavision::gpu {

template <unsigned Threads>
class device_block {
    static constexpr unsigned all = 0xffffffffu;

  public:
    static constexpr unsigned threads = Threads;
    static_assert(Threads % warp == 0 && Threads / warp <= warp);

    template <class T>
    class own {
      public:
        __device__ T& operator[](unsigned) { return value_; }
        __device__ T const& operator[](unsigned) const { return value_; }

      private:
        T value_;
    };

    __device__ unsigned x() const { return blockIdx.x; }
    __device__ unsigned y() const { return blockIdx.y; }
    __device__ unsigned z() const { return blockIdx.z; }

    template <class F>
    __device__ void alone(F const& f) {
        f(threadIdx.x);
    }
    template <class F>
    __device__ void each(F const& f) {
        f(threadIdx.x);
        __syncthreads();
    }
    __device__ void sync() { __syncthreads(); }

    template <class F>
    __device__ float sum(F const& f) {
        __shared__ float of_warp[Threads / warp];
        float const sum = exchanged<warp>(f(threadIdx.x), [](float a, float b) { return a + b; });
        if (threadIdx.x % warp == 0) of_warp[threadIdx.x / warp] = sum;
        __syncthreads();
        float total = 0;
        for (unsigned w = 0; w < Threads / warp; ++w) total += of_warp[w];
        __syncthreads(); // all must have read this sum before one of them writes the next
        return total;
    }
    template <class F, class Use>
    __device__ void warp_sum(F const& f, Use const& use) {
        use(threadIdx.x, exchanged<warp>(f(threadIdx.x), [](float a, float b) { return a + b; }));
    }
    template <class F, class Use>
    __device__ void quad_sum(F const& f, Use const& use) {
        use(threadIdx.x, exchanged<4>(f(threadIdx.x), [](float a, float b) { return a + b; }));
    }
    template <class F, class Use>
    __device__ void quad_max(F const& f, Use const& use) {
        use(threadIdx.x, exchanged<4>(f(threadIdx.x), [](float a, float b) { return a > b ? a : b; }));
    }

    __device__ void copy_async(unsigned, void* to, void const* from, bool is) {
#if __CUDA_ARCH__ >= 800
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(in_shared(to)), "l"(from), "r"(is ? 16 : 0)
                     : "memory");
#else
        save(to, is ? load<uint4>(from) : uint4{});
#endif
    }
    __device__ void wait_for_copies(unsigned) {
#if __CUDA_ARCH__ >= 800
        asm volatile("cp.async.wait_all;" ::: "memory");
#endif
    }

    template <class From, class To>
    __device__ void load_tiles(From const& from, To const& to) {
        load_tiles_as<false>(from, to);
    }
    template <class From, class To>
    __device__ void load_transposed_tiles(From const& from, To const& to) {
        load_tiles_as<true>(from, to);
    }

    /// C (16, 8) += A (16, 16) B (16, 8) in every warp, A and B of type T; block.hpp describes their registers.
    template <class T, class C, class A, class B>
    __device__ void mma(C const& of_c, A const& of_a, B const& of_b) {
        [[maybe_unused]] float(&c)[4] = of_c(threadIdx.x);
        [[maybe_unused]] std::uint32_t(&a)[4] = of_a(threadIdx.x);
        [[maybe_unused]] std::uint32_t const low = of_b(threadIdx.x, 0), high = of_b(threadIdx.x, 1);
        if constexpr (std::is_same_v<T, f16>) {
#if __CUDA_ARCH__ >= 750
            // Eight columns of A at a time: these registers of A and B are the same.
            asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                : "r"(a[0]), "r"(a[1]), "r"(low));
            asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                : "r"(a[2]), "r"(a[3]), "r"(high));
#else
            __trap(); // never called there (cuda_device::tensor_cores)
#endif
        } else {
            static_assert(std::is_same_v<T, bf16>);
#if __CUDA_ARCH__ >= 800
            asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                "{%0, %1, %2, %3};"
                : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(low), "r"(high));
#else
            __trap(); // never called there (cuda_device::tensor_cores)
#endif
        }
    }

  private:
    __device__ static std::uint32_t in_shared(void const* p) {
        return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
    }
    template <bool Turned, class From, class To>
    __device__ static void load_tiles_as(From const& from, To const& to) {
        [[maybe_unused]] std::uint32_t(&b)[4] = to(threadIdx.x);
        [[maybe_unused]] std::uint32_t const row = in_shared(from(threadIdx.x));
#if __CUDA_ARCH__ >= 750
        if constexpr (Turned)
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                         : "r"(row)
                         : "memory");
        else
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                         : "r"(row)
                         : "memory");
#else
        __trap();     // never called there (cuda_device::tensor_cores)
#endif
    }
    template <unsigned Width, class Op>
    __device__ static float exchanged(float value, Op const& op) {
#pragma unroll
        for (unsigned offset = Width / 2; offset > 0; offset /= 2)
            value = op(value, __shfl_xor_sync(all, value, static_cast<int>(offset)));
        return value;
    }
};

} // namespace llamavision::gpu
