// SPDX-License-Identifier: Apache-2.0
// The list of all kernels that dispatch/ launches. If one is missing here, the program does not link.
#pragma once

#include <llamavision/backend/cuda/device/launch.cuh>

#define LLAMAVISION_CUDA_FORMATS(X)                                                                                    \
    X(llamavision::gpu::f32_values)                                                                                    \
    X(llamavision::gpu::f16_values)                                                                                    \
    X(llamavision::gpu::bf16_values)                                                                                   \
    X(llamavision::gpu::q8_values)                                                                                     \
    X(llamavision::gpu::q4_values)

#define LLAMAVISION_CUDA_STORED(X)                                                                                     \
    LLAMAVISION_CUDA_FORMATS(X)                                                                                        \
    X(llamavision::gpu::stored_blocks<llamavision::q8_0>)                                                              \
    X(llamavision::gpu::stored_blocks<llamavision::q4_0>)

// The kernels of one format of weights.
#define LLAMAVISION_CUDA_MOVE(Values)                                                                                  \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::unpack_values<Values, float>)                                            \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::unpack_values<Values, llamavision::bf16>)                                \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::unpack_values<Values, llamavision::f16>)                                 \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::embed_values<Values>)
#define LLAMAVISION_CUDA_NARROW(Values) LLAMAVISION_CUDA_KERNEL(llamavision::gpu::narrow_product<Values>)
#define LLAMAVISION_CUDA_WIDE(Values)                                                                                  \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::wide_product<Values, 1, llamavision::gpu::outputs_for<Values>>)          \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::wide_product<Values, 4, 2>)                                              \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::wide_product<Values, 8, 2>)                                              \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::wide_swiglu<Values, 1>)                                                  \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::wide_swiglu<Values, 4>)                                                  \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::wide_swiglu<Values, 8>)

#define LLAMAVISION_CUDA_BATCH_OF(Values, T)                                                                           \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::batch_product<Values, T, 2>)                                             \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::batch_product<Values, T, 4>)                                             \
    LLAMAVISION_CUDA_KERNEL(llamavision::gpu::batch_product<Values, T, 8>)
#define LLAMAVISION_CUDA_BATCH(Values)                                                                                 \
    LLAMAVISION_CUDA_BATCH_OF(Values, llamavision::bf16)                                                               \
    LLAMAVISION_CUDA_BATCH_OF(Values, llamavision::f16)

#define LLAMAVISION_CUDA_ELEMENTWISE(X)                                                                                \
    X(llamavision::gpu::silu_values)                                                                                   \
    X(llamavision::gpu::gelu_values)                                                                                   \
    X(llamavision::gpu::multiply_values)                                                                               \
    X(llamavision::gpu::gate_values)                                                                                   \
    X(llamavision::gpu::add_values)                                                                                    \
    X(llamavision::gpu::rotate_pairs)                                                                                  \
    X(llamavision::gpu::unfold_values)                                                                                 \
    X(llamavision::gpu::interleave_values)                                                                             \
    X(llamavision::gpu::keep_values<float>)                                                                            \
    X(llamavision::gpu::keep_values<llamavision::bf16>)                                                                \
    X(llamavision::gpu::keep_values<llamavision::f16>)                                                                 \
    X(llamavision::gpu::set_numbers)                                                                                   \
    X(llamavision::gpu::rms_norm_rows<float>)                                                                          \
    X(llamavision::gpu::rms_norm_rows<llamavision::bf16>)                                                              \
    X(llamavision::gpu::rms_norm_rows<llamavision::f16>)                                                               \
    X(llamavision::gpu::layer_norm_rows<float>)                                                                        \
    X(llamavision::gpu::layer_norm_rows<llamavision::bf16>)                                                            \
    X(llamavision::gpu::layer_norm_rows<llamavision::f16>)                                                             \
    LLAMAVISION_CUDA_STORED(LLAMAVISION_CUDA_MOVE)

#define LLAMAVISION_CUDA_PRODUCTS(X)                                                                                   \
    LLAMAVISION_CUDA_STORED(LLAMAVISION_CUDA_NARROW)                                                                   \
    LLAMAVISION_CUDA_FORMATS(LLAMAVISION_CUDA_WIDE)

#define LLAMAVISION_CUDA_BATCHES(X)                                                                                    \
    LLAMAVISION_CUDA_BATCH(llamavision::gpu::q8_values)                                                                \
    LLAMAVISION_CUDA_BATCH(llamavision::gpu::q4_values)                                                                \
    X(llamavision::gpu::join_batch)

#define LLAMAVISION_CUDA_ATTENTION(X)                                                                                  \
    X(llamavision::gpu::attend_rows<float, 1, 4>)                                                                      \
    X(llamavision::gpu::attend_rows<float, 4, 4>)                                                                      \
    X(llamavision::gpu::attend_rows<float, 1, 8>)                                                                      \
    X(llamavision::gpu::attend_rows<llamavision::bf16, 1, 4>)                                                          \
    X(llamavision::gpu::attend_rows<llamavision::bf16, 4, 4>)                                                          \
    X(llamavision::gpu::attend_rows<llamavision::bf16, 1, 8>)                                                          \
    X(llamavision::gpu::attend_rows<llamavision::f16, 1, 4>)                                                           \
    X(llamavision::gpu::attend_rows<llamavision::f16, 4, 4>)                                                           \
    X(llamavision::gpu::attend_rows<llamavision::f16, 1, 8>)                                                           \
    X(llamavision::gpu::attend_tiles<float, 20>)                                                                       \
    X(llamavision::gpu::attend_tiles<float, 32>)                                                                       \
    X(llamavision::gpu::attend_tiles<llamavision::bf16, 20>)                                                           \
    X(llamavision::gpu::attend_tiles<llamavision::bf16, 32>)                                                           \
    X(llamavision::gpu::attend_tiles<llamavision::f16, 20>)                                                            \
    X(llamavision::gpu::attend_tiles<llamavision::f16, 32>)                                                            \
    X(llamavision::gpu::merge_parts)                                                                                   \
    X(llamavision::gpu::flash_attend<llamavision::bf16, 80, 2>)                                                        \
    X(llamavision::gpu::flash_attend<llamavision::bf16, 128, 1>)                                                       \
    X(llamavision::gpu::flash_attend<llamavision::f16, 80, 2>)                                                         \
    X(llamavision::gpu::flash_attend<llamavision::f16, 128, 1>)

#define LLAMAVISION_CUDA_CHOOSING(X)                                                                                   \
    X(llamavision::gpu::mark_tokens)                                                                                   \
    X(llamavision::gpu::rank_tokens)                                                                                   \
    X(llamavision::gpu::take_largest)                                                                                  \
    X(llamavision::gpu::weigh_tokens)                                                                                  \
    X(llamavision::gpu::draw_token)
