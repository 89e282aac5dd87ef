// Reductions over a warp or a block. Fixed order: deterministic.
#pragma once

#include <cuda_runtime.h>

namespace clusca {

__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(0xffffffffu, value, lane);
  return value;
}

__device__ inline float warp_max(float value) {
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, lane));
  }
  return value;
}

// The sum over a block, in every thread. All kThreads threads must call it; scratch is shared
// memory of kThreads / 32 floats.
template <int kThreads>
__device__ inline float block_sum(float value, float* scratch) {
  constexpr int kWarps = kThreads / 32;
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0.f;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) sum += scratch[i];
  __syncthreads();  // scratch may be used again at once
  return sum;
}

// The same for the largest value.
template <int kThreads>
__device__ inline float block_max(float value, float* scratch) {
  value = warp_max(value);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kThreads / 32; ++i) value = fmaxf(value, scratch[i]);
  __syncthreads();
  return value;
}

}  // namespace clusca
