// The CUDA kernel of both selections: the best candidate of every cluster (candidates.h).
#pragma once

#include "kernels/candidates.h"
#include "kernels/launch.cuh"

namespace clusca {

constexpr int kSelectThreads = 512;
constexpr int kSelectClusters = 4096;  // 32 kB of shared memory; more clusters take more passes

// One block a batch row. A maximum does not depend on the order of its atomics: deterministic.
template <typename Candidates, typename Params>
__global__ __launch_bounds__(kSelectThreads) void select_kernel(const Params p) {
  __shared__ unsigned long long best[kSelectClusters];
  const int64_t b = blockIdx.x;
  const Candidates candidates(p, b);
  const int32_t* ids = p.cluster_ids.row(b);
  for (int64_t first = 0; first < p.K; first += kSelectClusters) {
    const int64_t left = p.K - first;
    const int count = static_cast<int>(left < kSelectClusters ? left : kSelectClusters);
    for (int k = threadIdx.x; k < count; k += kSelectThreads) best[k] = 0;
    __syncthreads();
    for (int64_t n = threadIdx.x; n < p.N; n += kSelectThreads) {
      const int64_t k = ids[n] - first;
      if (k >= 0 && k < count) atomicMax(&best[k], candidates.at(n));
    }
    __syncthreads();
    int32_t* out = p.representatives + b * p.K + first;
    for (int k = threadIdx.x; k < count; k += kSelectThreads) out[k] = chosen_token(best[k]);
    __syncthreads();
  }
}

}  // namespace clusca
