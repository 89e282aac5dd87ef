// What the CUDA kernels of k-means share: who has converged, and the grid of the accumulation.
#pragma once

#include "kernels/kmeans_step.h"
#include "kernels/launch.cuh"

namespace clusca {

// Iterations after the last one that moved anything find a move of zero, which is converged too.
struct Convergence {
  const KmeansMove* moves;  // [B] of the iteration before, or null: nobody has converged
  float rtol;

  __device__ bool has(int64_t b) const {
    return moves && !(moves[b].change > rtol * moves[b].largest);
  }
};

__device__ inline bool is_finite(float value) { return value - value == 0.f; }

// Channel d of cluster k: the chunks' partial sums and counts, added in order.
template <typename scalar_t>
__device__ inline float add_chunks(const KmeansStepParams<scalar_t>& step, int64_t chunks,
                                   int64_t b, int64_t k, int64_t d, int32_t* count) {
  const int64_t K = step.assign.K, D = step.assign.D;
  float sum = 0.f;
  *count = 0;
#pragma unroll 16  // loads go together
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t at = (b * chunks + chunk) * K + k;
    sum += step.partial_sums[at * D + d];
    *count += step.partial_counts[at];
  }
  return sum;
}

template <typename scalar_t>
cudaError_t launch_assign(const KmeansAssignParams<scalar_t>& p, Convergence converged,
                          cudaStream_t stream);
// Labels, and the chunks' partial sums of them.
template <typename scalar_t>
cudaError_t launch_label_and_add(const KmeansStepParams<scalar_t>& p, Convergence converged,
                                 cudaStream_t stream);

}  // namespace clusca
