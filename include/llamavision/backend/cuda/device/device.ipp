// SPDX-License-Identifier: Apache-2.0
// The device, by CUDA's own functions: memory, the queue, recorded passes, and products by cuBLASLt.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include <cuda_runtime_api.h>

#include <llamavision/backend/cuda/cuda.hpp>
#include <llamavision/backend/cuda/device/allocation_list.hpp>
#include <llamavision/backend/cuda/device/cublas_lt.ipp>
#include <llamavision/backend/cuda/device/device.hpp>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision::gpu {

namespace detail {

inline void check(cudaError_t status, char const* doing) {
    if (status == cudaSuccess) return;
    static_cast<void>(cudaGetLastError()); // clears the error, so that the next call does not report it again
    if (status == cudaErrorMemoryAllocation) throw memory_error(std::string("the GPU's memory is used up: ") + doing);
    throw device_error(std::string("CUDA: ") + doing + ": " + cudaGetErrorString(status));
}
inline void check(cublasStatus_t status, char const* doing) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    if (status == CUBLAS_STATUS_ALLOC_FAILED) throw memory_error(std::string("the GPU's memory is used up: ") + doing);
    throw device_error(std::string("cuBLASLt: ") + doing + ": " + blas().cublasLtGetStatusString(status));
}

inline std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// The number of devices. @throws device_error, with the reason, if there are none
inline int count_devices() {
    int count = 0, driver = 0;
    cudaError_t const status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0) return count;
    static_cast<void>(cudaGetLastError());
    static_cast<void>(cudaDriverGetVersion(&driver));
    if (driver == 0) throw device_error("no CUDA device: this machine has no NVIDIA driver");
    if (status == cudaErrorInsufficientDriver)
        throw device_error("the NVIDIA driver is too old: it knows CUDA " + version_text(driver)
                           + ", and this program was built with " + version_text(CUDART_VERSION));
    if (status == cudaSuccess || status == cudaErrorNoDevice)
        throw device_error("no CUDA device: the NVIDIA driver finds none in this machine");
    throw device_error(std::string("CUDA: counting devices: ") + cudaGetErrorString(status));
}

inline std::string gigabytes(std::size_t bytes) {
    std::size_t const tenths = (bytes + 50'000'000) / 100'000'000;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GB";
}

/// Memory on the current device for the queue itself, freed when the queue is closed.
inline std::shared_ptr<std::byte> device_memory(std::size_t bytes) {
    void* p = nullptr;
    check(cudaMalloc(&p, std::max<std::size_t>(bytes, 1)), "taking a workspace");
    return {static_cast<std::byte*>(p), [](std::byte* q) { static_cast<void>(cudaFree(q)); }};
}

template <class T, auto Destroy>
struct destroyer {
    using pointer = T;
    void operator()(T handle) const { static_cast<void>(Destroy(handle)); }
};
/// A handle of CUDA's, destroyed with this.
template <class T, auto Destroy>
using owned = std::unique_ptr<std::remove_pointer_t<T>, destroyer<T, Destroy>>;
using stream_handle = owned<cudaStream_t, cudaStreamDestroy>;
using event_handle = owned<cudaEvent_t, cudaEventDestroy>;
using graph_handle = owned<cudaGraph_t, cudaGraphDestroy>;
using playable_handle = owned<cudaGraphExec_t, cudaGraphExecDestroy>;
inline void destroy_library(cublasLtHandle_t h) { static_cast<void>(blas().cublasLtDestroy(h)); }
inline void destroy_product(cublasLtMatmulDesc_t h) { static_cast<void>(blas().cublasLtMatmulDescDestroy(h)); }
inline void destroy_layout(cublasLtMatrixLayout_t h) { static_cast<void>(blas().cublasLtMatrixLayoutDestroy(h)); }
inline void destroy_wish(cublasLtMatmulPreference_t h) { static_cast<void>(blas().cublasLtMatmulPreferenceDestroy(h)); }
using library_handle = owned<cublasLtHandle_t, destroy_library>;
using product_handle = owned<cublasLtMatmulDesc_t, destroy_product>;
using layout_handle = owned<cublasLtMatrixLayout_t, destroy_layout>;
using preference_handle = owned<cublasLtMatmulPreference_t, destroy_wish>;

/// A recorded pass, and the key that it was recorded for.
struct recorded_pass {
    std::vector<std::uint64_t> key;
    playable_handle playable;
};

} // namespace detail

struct cuda_device::state {
    static constexpr std::size_t piece = std::size_t{8} << 20, for_products = std::size_t{32} << 20;

    int device = 0;
    cudaDeviceProp properties{};
    int version = 0; ///< compute capability, times ten: the device's, or a lower one for which its kernels are compiled
    cudaMemPool_t pool = nullptr; ///< the device's own
    detail::stream_handle stream;
    detail::library_handle library;
    std::shared_ptr<std::byte> workspace, product_workspace, positions;
    std::size_t workspace_bytes = 0;
    bool recording = false;
    allocation_list allocations;
    std::array<std::shared_ptr<std::byte>, 2> pinned;
    std::array<detail::event_handle, 2> sent;
    std::recursive_mutex mutex;
    /// The algorithm that the library recommends for a product of that type, size, alignment and epilogue.
    using product_key = std::tuple<format, std::size_t, std::size_t, std::size_t, std::size_t, std::size_t, bool>;
    std::map<product_key, cublasLtMatmulAlgo_t> advised;

    ~state() {
        static_cast<void>(cudaSetDevice(device));
        static_cast<void>(cudaStreamSynchronize(stream.get()));
    }
};

cuda_device::cuda_device(cuda_options options) : state_(std::make_shared<state>()) {
    using detail::check;
    int const count = detail::count_devices();
    if (options.device < 0 || options.device >= count)
        throw device_error("there is no CUDA device " + std::to_string(options.device) + ": this machine has "
                           + std::to_string(count) + ", counted from 0");
    state& s = *state_;
    s.device = options.device;
    check(cudaSetDevice(s.device), "choosing the device");
    check(cudaGetDeviceProperties(&s.properties, s.device), "asking for the device's properties");
    if (s.properties.major < 7)
        throw device_error(model() + " has compute capability " + std::to_string(s.properties.major) + "."
                           + std::to_string(s.properties.minor) + ", and 7.0 is the least that is supported");
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "opening a queue");
    s.stream.reset(stream);
    check(cudaDeviceGetDefaultMemPool(&s.pool, s.device), "finding the device's pool of memory");
    std::uint64_t keep = ~std::uint64_t{0}; // freed memory stays with this process, for the next picture
    check(cudaMemPoolSetAttribute(s.pool, cudaMemPoolAttrReleaseThreshold, &keep), "setting up the pool of memory");
    cublasLtHandle_t library = nullptr;
    check(detail::blas().cublasLtCreate(&library), "opening the library of products");
    s.library.reset(library);
    s.workspace_bytes = options.workspace;
    s.workspace = detail::device_memory(options.workspace);
    s.product_workspace = detail::device_memory(state::for_products);
    s.positions = detail::device_memory(set_numbers::most * sizeof(std::uint32_t));
    for (std::size_t i = 0; i < 2; ++i) {
        void* p = nullptr;
        check(cudaMallocHost(&p, state::piece), "taking pinned memory");
        s.pinned[i] = {static_cast<std::byte*>(p), [](std::byte* q) { static_cast<void>(cudaFreeHost(q)); }};
        cudaEvent_t event = nullptr;
        check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
        s.sent[i].reset(event);
    }
    // If the program has no kernels for this device, fail here, not in the middle of an answer.
    launch(numbers_at(reinterpret_cast<std::uint32_t*>(s.positions.get()), std::array<std::size_t, 1>{}), {1});
    wait();
    s.version = std::min(s.properties.major * 10 + s.properties.minor, compiled_for());
}

std::string cuda_device::model() const { return state_->properties.name; }

/// The library's choice of kernels depends on the device and on the library's version.
std::string cuda_device::kernels() const {
    return model() + ", " + std::to_string(processors()) + " processors, cuBLASLt "
           + std::to_string(detail::blas().cublasLtGetVersion());
}

std::unique_lock<std::recursive_mutex> cuda_device::lock() const {
    std::unique_lock guard(state_->mutex);
    detail::check(cudaSetDevice(state_->device), "choosing the device");
    return guard;
}

/// From the device's pool, in the order of the queue: freed memory is used again without a call to the driver.
std::shared_ptr<std::byte> cuda_device::allocate(std::size_t bytes) const {
    auto const guard = lock();
    void* p = nullptr;
    cudaError_t const status = cudaMallocAsync(&p, std::max<std::size_t>(bytes, 1), state_->stream.get());
    if (status == cudaErrorMemoryAllocation) {
        static_cast<void>(cudaGetLastError());
        throw memory_error("the GPU has " + detail::gigabytes(available()) + " of "
                           + detail::gigabytes(state_->properties.totalGlobalMem) + " left, and "
                           + detail::gigabytes(bytes) + " more were asked for");
    }
    detail::check(status, "taking memory");
    state_->allocations.add(static_cast<std::byte*>(p), bytes);
    return {static_cast<std::byte*>(p), [queue = state_](std::byte* q) {
                std::unique_lock const turn(queue->mutex);
                queue->allocations.remove(q);
                static_cast<void>(cudaSetDevice(queue->device));
                static_cast<void>(cudaFreeAsync(q, queue->stream.get()));
            }};
}

bool cuda_device::holds(void const* p) const {
    auto const guard = lock();
    return state_->allocations.holds(p);
}

std::size_t cuda_device::available() const {
    auto const guard = lock();
    std::size_t left = 0, all = 0;
    detail::check(cudaMemGetInfo(&left, &all), "asking for the memory that is left");
    std::uint64_t reserved = 0, used = 0;
    detail::check(cudaMemPoolGetAttribute(state_->pool, cudaMemPoolAttrReservedMemCurrent, &reserved),
                  "asking for the pool's memory");
    detail::check(cudaMemPoolGetAttribute(state_->pool, cudaMemPoolAttrUsedMemCurrent, &used),
                  "asking for the pool's memory");
    return left + static_cast<std::size_t>(reserved - used);
}

void cuda_device::upload(void const* from, std::size_t bytes, void* to) const {
    auto const guard = lock();
    state& s = *state_;
    auto const* const source = static_cast<std::byte const*>(from);
    auto* const target = static_cast<std::byte*>(to);
    std::size_t turn = 0;
    for (std::size_t at = 0; at < bytes; at += state::piece, turn ^= 1) {
        std::size_t const n = std::min(state::piece, bytes - at);
        detail::check(cudaEventSynchronize(s.sent[turn].get()), "waiting for an upload");
        std::memcpy(s.pinned[turn].get(), source + at, n);
        detail::check(cudaMemcpyAsync(target + at, s.pinned[turn].get(), n, cudaMemcpyHostToDevice, s.stream.get()),
                      "uploading");
        detail::check(cudaEventRecord(s.sent[turn].get(), s.stream.get()), "marking an upload");
    }
}

void cuda_device::download(void const* from, std::size_t bytes, void* to) const {
    auto const guard = lock();
    state& s = *state_;
    for (std::size_t at = 0; at < bytes; at += state::piece) {
        std::size_t const n = std::min(state::piece, bytes - at);
        detail::check(cudaMemcpyAsync(s.pinned[0].get(), static_cast<std::byte const*>(from) + at, n,
                                      cudaMemcpyDeviceToHost, s.stream.get()),
                      "downloading");
        wait();
        std::memcpy(static_cast<std::byte*>(to) + at, s.pinned[0].get(), n);
    }
}

void cuda_device::copy(void const* from, std::size_t bytes, void* to) const {
    if (bytes > 0)
        detail::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, state_->stream.get()), "copying");
}

void cuda_device::zero(void* to, std::size_t bytes) const {
    if (bytes > 0) detail::check(cudaMemsetAsync(to, 0, bytes, state_->stream.get()), "clearing memory");
}

void cuda_device::wait() const { detail::check(cudaStreamSynchronize(state_->stream.get()), "waiting for the device"); }

std::span<std::byte> cuda_device::workspace() const { return {state_->workspace.get(), state_->workspace_bytes}; }
std::size_t cuda_device::processors() const { return static_cast<std::size_t>(state_->properties.multiProcessorCount); }
cores cuda_device::tensor_cores() const {
    int const version = state_->version;
    return version >= 80 ? cores::bf16 : version >= 75 ? cores::f16 : cores::none;
}
std::uint32_t const* cuda_device::positions() const {
    return state_->recording ? reinterpret_cast<std::uint32_t const*>(state_->positions.get()) : nullptr;
}
void* cuda_device::stream() const { return state_->stream.get(); }
void cuda_device::check_launch() { detail::check(cudaGetLastError(), "starting a kernel"); }
void cuda_device::check(int status, char const* doing) { detail::check(static_cast<cudaError_t>(status), doing); }

void cuda_device::replay(std::shared_ptr<void>& tape, std::span<std::uint64_t const> key,
                         std::span<std::size_t const> positions, std::function<void()> const& body) const {
    using detail::check;
    auto const guard = lock();
    state& s = *state_;
    auto const* known = static_cast<detail::recorded_pass const*>(tape.get());
    if (!known || !std::equal(key.begin(), key.end(), known->key.begin(), known->key.end())) {
        check(cudaStreamBeginCapture(s.stream.get(), cudaStreamCaptureModeRelaxed), "beginning to record a pass");
        s.recording = true;
        cudaGraph_t graph = nullptr;
        try {
            body();
        } catch (...) {
            s.recording = false;
            static_cast<void>(cudaStreamEndCapture(s.stream.get(), &graph));
            static_cast<void>(detail::graph_handle(graph));
            throw;
        }
        s.recording = false;
        check(cudaStreamEndCapture(s.stream.get(), &graph), "recording a pass");
        detail::graph_handle const recorded(graph);
        cudaGraphExec_t playable = nullptr;
        check(cudaGraphInstantiate(&playable, graph, 0), "preparing a recorded pass");
        auto pass = std::make_shared<detail::recorded_pass>();
        pass->key.assign(key.begin(), key.end());
        pass->playable.reset(playable);
        known = pass.get();
        tape = std::move(pass);
    }
    set_numbers const now = numbers_at(reinterpret_cast<std::uint32_t*>(s.positions.get()), positions);
    if (now.count > 0) launch(now, now.blocks());
    check(cudaGraphLaunch(known->playable.get(), s.stream.get()), "playing a recorded pass");
}

/// cuBLASLt counts column by column, so our y (rows, outputs) is its yᵀ (outputs, rows): w is the first factor,
/// transposed; x the second, as it is; and the bias goes along the first dimension.
void cuda_device::multiply(many_rows const& p) const {
    using detail::blas;
    using detail::check;
    state& s = *state_;
    cudaDataType_t const type = p.type == format::bf16 ? CUDA_R_16BF : p.type == format::f16 ? CUDA_R_16F : CUDA_R_32F;
    auto const set = [](auto* to, auto what, auto const& value, auto setter) {
        check(setter(to, what, &value, sizeof(value)), "describing a product");
    };
    auto const matrix_of = [](cudaDataType_t of, std::size_t rows, std::size_t columns, std::size_t stride) {
        cublasLtMatrixLayout_t made = nullptr;
        check(blas().cublasLtMatrixLayoutCreate(&made, of, rows, columns, static_cast<std::int64_t>(stride)),
              "describing a matrix");
        return detail::layout_handle(made);
    };
    cublasLtMatmulDesc_t made = nullptr;
    check(blas().cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    detail::product_handle const product(made);
    set(made, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T, blas().cublasLtMatmulDescSetAttribute);
    if (p.bias) {
        set(made, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS, blas().cublasLtMatmulDescSetAttribute);
        set(made, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias, blas().cublasLtMatmulDescSetAttribute);
    }
    auto const w = matrix_of(type, p.columns, p.outputs, p.columns), x = matrix_of(type, p.columns, p.rows, p.columns);
    auto const y = matrix_of(CUDA_R_32F, p.outputs, p.rows, p.stride);

    auto const alignment = [](void const* at) {
        auto const address = reinterpret_cast<std::uintptr_t>(at);
        return static_cast<std::uint32_t>(std::min<std::uintptr_t>(address & (~address + 1), 16));
    };
    std::uint32_t const of_w = alignment(p.w), of_x = alignment(p.x), of_y = alignment(p.y);
    state::product_key const key{
        p.type, p.outputs, p.rows, p.columns, p.stride, of_w * 10'000u + of_x * 100u + of_y, p.bias != nullptr};
    auto found = s.advised.find(key);
    if (found == s.advised.end()) {
        cublasLtMatmulPreference_t wish = nullptr;
        check(blas().cublasLtMatmulPreferenceCreate(&wish), "describing a product");
        detail::preference_handle const preference(wish);
        auto const prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto const& value) {
            set(wish, what, value, blas().cublasLtMatmulPreferenceSetAttribute);
        };
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, state::for_products);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, of_w);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, of_x);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, of_y);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, of_y);
        cublasLtMatmulHeuristicResult_t advice{};
        int count = 0;
        check(blas().cublasLtMatmulAlgoGetHeuristic(s.library.get(), made, w.get(), x.get(), y.get(), y.get(), wish, 1,
                                                    &advice, &count),
              "choosing how to multiply");
        if (count == 0)
            throw device_error("cuBLASLt: there is no product of (" + std::to_string(p.rows) + ", "
                               + std::to_string(p.columns) + ") and (" + std::to_string(p.outputs) + ", "
                               + std::to_string(p.columns) + ")");
        found = s.advised.emplace(key, advice.algo).first;
    }
    float const add = p.add ? 1.0f : 0.0f;
    check(blas().cublasLtMatmul(s.library.get(), made, &p.scale, p.w, w.get(), p.x, x.get(), &add, p.y, y.get(), p.y,
                                y.get(), &found->second, s.product_workspace.get(), state::for_products,
                                s.stream.get()),
          "multiplying");
}

} // namespace llamavision::gpu

namespace llamavision {

int cuda::devices() {
    try {
        return gpu::detail::count_devices();
    } catch (device_error const&) { return 0; }
}

} // namespace llamavision
