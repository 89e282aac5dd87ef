// propagate_residual_: the heart of a cached step. Forecast, correct, gate and add, in one pass.
//
//   F(n)   = sum_i weights_i * factors[i, b, n]
//   M(n)   = cluster_propagate's rule applied to F, computed, representatives and cluster_ids
//   x[b, n] += gate[b, n] * M(n)                                     gate: ones if not given
//
// Memory bound: reads O + 1 token tensors of factors and x, writes x; computed and the correction
// (K << N rows) stay in cache. Float32 inside, rounded once. Deterministic: one writer per element.
#pragma once

#include "kernels/clusters.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename x_t, typename f_t>
struct PropagateResidualParams {
  Tokens<x_t> x;         // [B, N, D]  in place
  Factors<f_t> factors;  // [O + 1, B, N, D]
  Clusters clusters;
  Rows gate;  // [B, D], [B, 1, D] or [B, N, D]
  int64_t B, N, D;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated as forecast_residual_.
template <typename x_t, typename f_t>
cudaError_t launch_propagate_residual(const PropagateResidualParams<x_t, f_t>& p,
                                      cudaStream_t stream);
#endif

}  // namespace clusca
