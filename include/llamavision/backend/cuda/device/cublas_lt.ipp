// SPDX-License-Identifier: Apache-2.0
// cuBLASLt, opened with the first device. It is half a gigabyte: a program that was built with this backend starts
// without it, and also on machines that do not have it.
#pragma once

#include <string>
#include <utility>

#include <cublasLt.h>
#include <dlfcn.h>

#include <llamavision/backend/cuda/cuda.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision::gpu::detail {

/// A library that is opened at run time, and stays open.
class opened_library {
  public:
    /// @param beside where it is looked for if the dynamic linker does not find it; empty: nowhere
    /// @throws device_error if it is in neither place
    opened_library(std::string name, std::string const& beside) : name_(std::move(name)) {
        library_ = ::dlopen(name_.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library_) return;
        char const* const why = ::dlerror();
        std::string const reason = why ? why : name_ + " cannot be opened";
        if (!beside.empty()) library_ = ::dlopen((beside + "/" + name_).c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!library_) throw device_error("the CUDA Toolkit's library of products is missing: " + reason);
    }

    /// A function of the library; it converts to a pointer of any function type.
    struct function {
        void* at;
        template <class F>
        operator F*() const { // NOLINT(google-explicit-constructor): meant to be implicit
            return reinterpret_cast<F*>(at);
        }
    };
    /// @throws device_error if the library has none of that name
    function operator[](char const* of) const {
        void* const found = ::dlsym(library_, of);
        if (!found) throw device_error(name_ + " has no " + of);
        return {found};
    }

  private:
    std::string name_;
    void* library_;
};

/// The functions of cuBLASLt that this backend calls, under its own names.
struct cublas_lt {
    opened_library library;
    decltype(&::cublasLtCreate) cublasLtCreate = library["cublasLtCreate"];
    decltype(&::cublasLtDestroy) cublasLtDestroy = library["cublasLtDestroy"];
    decltype(&::cublasLtGetStatusString) cublasLtGetStatusString = library["cublasLtGetStatusString"];
    decltype(&::cublasLtGetVersion) cublasLtGetVersion = library["cublasLtGetVersion"];
    decltype(&::cublasLtMatmulDescCreate) cublasLtMatmulDescCreate = library["cublasLtMatmulDescCreate"];
    decltype(&::cublasLtMatmulDescDestroy) cublasLtMatmulDescDestroy = library["cublasLtMatmulDescDestroy"];
    decltype(&::cublasLtMatmulDescSetAttribute) cublasLtMatmulDescSetAttribute =
        library["cublasLtMatmulDescSetAttribute"];
    decltype(&::cublasLtMatrixLayoutCreate) cublasLtMatrixLayoutCreate = library["cublasLtMatrixLayoutCreate"];
    decltype(&::cublasLtMatrixLayoutDestroy) cublasLtMatrixLayoutDestroy = library["cublasLtMatrixLayoutDestroy"];
    decltype(&::cublasLtMatmulPreferenceCreate) cublasLtMatmulPreferenceCreate =
        library["cublasLtMatmulPreferenceCreate"];
    decltype(&::cublasLtMatmulPreferenceDestroy) cublasLtMatmulPreferenceDestroy =
        library["cublasLtMatmulPreferenceDestroy"];
    decltype(&::cublasLtMatmulPreferenceSetAttribute) cublasLtMatmulPreferenceSetAttribute =
        library["cublasLtMatmulPreferenceSetAttribute"];
    decltype(&::cublasLtMatmulAlgoGetHeuristic) cublasLtMatmulAlgoGetHeuristic =
        library["cublasLtMatmulAlgoGetHeuristic"];
    decltype(&::cublasLtMatmul) cublasLtMatmul = library["cublasLtMatmul"];
};

/// The library, which stays open from the first call on. @throws device_error
inline cublas_lt const& blas() {
    std::string const name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
#if defined(LLAMAVISION_CUDA_LIBRARIES) // the folder of the CUDA Toolkit that this was built with
    static cublas_lt const opened{{name, LLAMAVISION_CUDA_LIBRARIES}};
#else
    static cublas_lt const opened{{name, {}}};
#endif
    return opened;
}

} // namespace llamavision::gpu::detail
