// select_nearest: the member of every cluster that lies closest to its centroid.
//
//   representatives[b, k] = argmin over n with cluster_ids[b, n] == k of distances[b, n]
//
// -1 for a cluster without members; ids outside [0, K) and distances that are not finite (tokens
// k-means left out) belong to none; equal distances: the lowest token. Deterministic.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

struct SelectNearestParams {
  Indices cluster_ids;     // [B, N]
  const float* distances;  // [B, N]  the last dimension dense
  int64_t distances_stride;
  int32_t* representatives;  // [B, K]  dense
  int64_t B, N, K;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`.
cudaError_t launch_select_nearest(const SelectNearestParams& p, cudaStream_t stream);
#endif

}  // namespace clusca
