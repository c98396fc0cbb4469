// SPDX-License-Identifier: Apache-2.0
// cuBLASLt, opened together with the first device. It is half a gigabyte: a program that was built with this backend
// starts without it, and on machines that have none.
#pragma once

#include <string>

#include <cublasLt.h>
#include <dlfcn.h>

#include <llamavision/backend/cuda/cuda.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision::gpu::detail {

/// The functions of the library that this backend calls, under its own names.
struct cublas_lt {
    decltype(&::cublasLtCreate) cublasLtCreate;
    decltype(&::cublasLtDestroy) cublasLtDestroy;
    decltype(&::cublasLtGetStatusString) cublasLtGetStatusString;
    decltype(&::cublasLtGetVersion) cublasLtGetVersion;
    decltype(&::cublasLtMatmulDescCreate) cublasLtMatmulDescCreate;
    decltype(&::cublasLtMatmulDescDestroy) cublasLtMatmulDescDestroy;
    decltype(&::cublasLtMatmulDescSetAttribute) cublasLtMatmulDescSetAttribute;
    decltype(&::cublasLtMatrixLayoutCreate) cublasLtMatrixLayoutCreate;
    decltype(&::cublasLtMatrixLayoutDestroy) cublasLtMatrixLayoutDestroy;
    decltype(&::cublasLtMatmulPreferenceCreate) cublasLtMatmulPreferenceCreate;
    decltype(&::cublasLtMatmulPreferenceDestroy) cublasLtMatmulPreferenceDestroy;
    decltype(&::cublasLtMatmulPreferenceSetAttribute) cublasLtMatmulPreferenceSetAttribute;
    decltype(&::cublasLtMatmulAlgoGetHeuristic) cublasLtMatmulAlgoGetHeuristic;
    decltype(&::cublasLtMatmul) cublasLtMatmul;
};

/// Where the dynamic linker finds libcublasLt, else where the CUDA Toolkit lay that this was built with.
/// @throws device_error if it is in neither place, or lacks a function
inline cublas_lt open_cublas_lt() {
    std::string const name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
    void* library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        char const* const why = ::dlerror();
        std::string const reason = why ? why : name + " cannot be opened";
#if defined(LLAMAVISION_CUDA_LIBRARIES)
        library = ::dlopen((LLAMAVISION_CUDA_LIBRARIES "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
#endif
        if (!library) throw device_error("the CUDA Toolkit's library of products is missing: " + reason);
    }
    cublas_lt all{};
    auto const find = [&](char const* of, auto& function) {
        void* const found = ::dlsym(library, of);
        if (!found) throw device_error(name + " has no " + of);
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(found);
    };
    find("cublasLtCreate", all.cublasLtCreate);
    find("cublasLtDestroy", all.cublasLtDestroy);
    find("cublasLtGetStatusString", all.cublasLtGetStatusString);
    find("cublasLtGetVersion", all.cublasLtGetVersion);
    find("cublasLtMatmulDescCreate", all.cublasLtMatmulDescCreate);
    find("cublasLtMatmulDescDestroy", all.cublasLtMatmulDescDestroy);
    find("cublasLtMatmulDescSetAttribute", all.cublasLtMatmulDescSetAttribute);
    find("cublasLtMatrixLayoutCreate", all.cublasLtMatrixLayoutCreate);
    find("cublasLtMatrixLayoutDestroy", all.cublasLtMatrixLayoutDestroy);
    find("cublasLtMatmulPreferenceCreate", all.cublasLtMatmulPreferenceCreate);
    find("cublasLtMatmulPreferenceDestroy", all.cublasLtMatmulPreferenceDestroy);
    find("cublasLtMatmulPreferenceSetAttribute", all.cublasLtMatmulPreferenceSetAttribute);
    find("cublasLtMatmulAlgoGetHeuristic", all.cublasLtMatmulAlgoGetHeuristic);
    find("cublasLtMatmul", all.cublasLtMatmul);
    return all;
}

/// The library, which stays open from the first call on. @throws device_error
inline cublas_lt const& blas() {
    static cublas_lt const opened = open_cublas_lt();
    return opened;
}

} // namespace llamavision::gpu::detail
