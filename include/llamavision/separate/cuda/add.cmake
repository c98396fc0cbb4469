# SPDX-License-Identifier: Apache-2.0
# llamavision_add_cuda(TARGET...): adds the cuda backend to programs, so that they may include llamavision/backend/cuda/cuda.hpp.
# Its translation units are compiled once. To be included at the top of a CMakeLists.txt, where a language can be enabled.
include_guard(GLOBAL)
find_package(CUDAToolkit 12 REQUIRED)

# For which GPUs: CMAKE_CUDA_ARCHITECTURES, or all that the compiler knows from 7.0 on; the last one also as PTX, which later
# GPUs compile for themselves.
set(LLAMAVISION_CUDA_DIR "${CMAKE_CURRENT_LIST_DIR}")
if(DEFINED CMAKE_CUDA_ARCHITECTURES)
    enable_language(CUDA)
    set(LLAMAVISION_CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
else()
    set(CMAKE_CUDA_ARCHITECTURES OFF) # or CMake would choose one, and remember it
    enable_language(CUDA)
    unset(CMAKE_CUDA_ARCHITECTURES)
    set(LLAMAVISION_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13) # which has forgotten Volta
        list(PREPEND LLAMAVISION_CUDA_ARCHITECTURES 70-real)
    endif()
endif()

function(llamavision_add_cuda)
    if(NOT TARGET llamavision_cuda)
        file(GLOB sources "${LLAMAVISION_CUDA_DIR}/*.cu" "${LLAMAVISION_CUDA_DIR}/*.cpp")
        add_library(llamavision_cuda STATIC EXCLUDE_FROM_ALL ${sources})
        set_target_properties(llamavision_cuda PROPERTIES POSITION_INDEPENDENT_CODE ON
            CUDA_ARCHITECTURES "${LLAMAVISION_CUDA_ARCHITECTURES}")
        target_compile_options(llamavision_cuda PRIVATE # CMake before 3.26 does not know nvcc's C++20
            "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr;--Werror=all-warnings>")
        target_compile_definitions(llamavision_cuda PUBLIC LLAMAVISION_CUDA)
        target_include_directories(llamavision_cuda PRIVATE
            $<TARGET_PROPERTY:llamavision::llamavision,INTERFACE_INCLUDE_DIRECTORIES>)
        target_compile_features(llamavision_cuda PRIVATE cxx_std_20)
        target_link_libraries(llamavision_cuda PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS})
        # cuBLASLt is opened when a device is (backend/cuda/device/cublas_lt.ipp).
        target_compile_definitions(llamavision_cuda PRIVATE LLAMAVISION_CUDA_LIBRARIES="${CUDAToolkit_LIBRARY_DIR}")
    endif()
    foreach(target IN LISTS ARGN)
        target_link_libraries(${target} PRIVATE llamavision_cuda)
    endforeach()
endfunction()
