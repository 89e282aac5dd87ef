// kmeans_assign: the nearest centroid of every token.
//
//   distance(n, k)      = sum_d (tokens[b, n, d] - centroids[b, k, d])^2     l2
//                       = sum_d |tokens[b, n, d] - centroids[b, k, d]|       l1
//   cluster_ids[b, n]   = argmin_k distance(n, k), ties to the lowest k
//   distances[b, n]     = min_k distance(n, k)
//
// A token whose distance is not finite (NaN or infinity in it) gets cluster 0 at distance +inf, and
// kmeans_step leaves it out. Of few clusters tokens are read once, on CUDA for every 16 or 64;
// centroids (K << N) come from cache. Float32 arithmetic whatever the tokens' dtype. Deterministic,
// and a row's result does not depend on its batch.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename scalar_t>
struct KmeansAssignParams {
  Tokens<const scalar_t> tokens;  // [B, N, D]
  Tokens<const float> centroids;  // [B, K, D]
  int32_t* cluster_ids;           // [B, N]  dense
  float* distances;               // [B, N]  dense
  Metric metric;
  Kernel kernel;    // others than kVector: l2 of a half type; on a CPU only kMatrix, of bfloat16
  void* workspace;  // of the CUDA kernels but the vector one: kmeans_matrix.h
  int64_t B, N, K, D;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename scalar_t>
cudaError_t launch_kmeans_assign(const KmeansAssignParams<scalar_t>& p, cudaStream_t stream);
#endif

}  // namespace clusca
