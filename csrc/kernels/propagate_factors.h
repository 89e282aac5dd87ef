// propagate_factors_: the paper's persistent correction, an edit of the order-0 factor in place.
//
//   F0[b, n] = computed[b, c]                                      n represents c
//            = gamma * computed[b, c] + (1 - gamma) * F0[b, n]     otherwise
//            = F0[b, n]                                            c has no representative
//
// with c = cluster_ids[b, n].
//
// Memory bound: reads and writes order 0 once; higher orders are not touched. Float32 inside,
// rounded once. Deterministic: one writer per element. Source: ClusCa, arXiv 2509.10312, as
// released (update of the cache on a cached step).
#pragma once

#include "kernels/clusters.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename scalar_t>
struct PropagateFactorsParams {
  Factors<scalar_t> order0;  // [1, B, N, D]  F0 as it is read
  Clusters clusters;         // rule: value
  Tokens<scalar_t> out;      // [B, N, D]     F0 as it is written: the same memory
  int64_t B, N, D;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename scalar_t>
cudaError_t launch_propagate_factors(const PropagateFactorsParams<scalar_t>& p,
                                     cudaStream_t stream);
#endif

}  // namespace clusca
