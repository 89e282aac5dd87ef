// cluster_propagate: spread what the representatives computed over their clusters.
//
//   out[b, n] = computed[b, c]                                         n represents c
//             = (1 - gamma) * forecast[b, n] + gamma * computed[b, c]            value rule
//             = forecast[b, n] + gamma * (computed[b, c] - forecast[b, rep])     delta rule
//             = forecast[b, n]                                         c has no representative
//
// with c = cluster_ids[b, n] and rep = representatives[b, c].
//
// Memory bound: reads and writes one token tensor; computed (K << N) stays in cache. Float32
// inside, rounded once. Deterministic: one writer per element, no atomics. Source: ClusCa, arXiv
// 2509.10312 (value rule); the delta rule is ours.
#pragma once

#include "kernels/clusters.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename scalar_t>
struct ClusterPropagateParams {
  Factors<scalar_t> forecast;  // [1, B, N, D]  a forecast is one factor of weight 1
  Clusters clusters;
  Tokens<scalar_t> out;  // [B, N, D]
  int64_t B, N, D;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename scalar_t>
cudaError_t launch_cluster_propagate(const ClusterPropagateParams<scalar_t>& p,
                                     cudaStream_t stream);
#endif

}  // namespace clusca
