// SPDX-License-Identifier: Apache-2.0
// The library that is opened with the first device holds every function that the backend calls.
#if defined(LLAMAVISION_CUDA)
#include <string>

#include <doctest/doctest.h>
#include <llamavision/backend/cuda/device/cublas_lt.ipp>

namespace lv = llamavision;

TEST_CASE("cuBLASLt is found with all its functions, or its absence is said in a sentence") {
    try {
        auto const& lt = lv::gpu::detail::blas();
        std::string const said = lt.cublasLtGetStatusString(CUBLAS_STATUS_NOT_SUPPORTED);
        CHECK(said.find("not supported") != said.npos);
    } catch (lv::device_error const& fault) {
        CHECK(std::string(fault.what()).starts_with("the CUDA Toolkit's library of products is missing: "));
        MESSAGE("skipped: ", fault.what());
    }
}
#endif
