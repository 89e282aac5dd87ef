// forecast_residual_: a module's residual update from its forecast, in one pass.
//
//   x[b, n] += gate[b, n] * sum_i weights_i * factors[i, b, n]       gate: ones if not given
//
// Memory bound: reads O + 1 token tensors of factors and x, writes x. Float32 inside, rounded once.
// Deterministic: one writer per element.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename x_t, typename f_t>
struct ForecastResidualParams {
  Tokens<x_t> x;         // [B, N, D]  in place
  Factors<f_t> factors;  // [O + 1, B, N, D]
  Rows gate;             // [B, D], [B, 1, D] or [B, N, D]
  int64_t B, N, D;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for x_t of float, __half and __nv_bfloat16, with f_t the
// same or, for float, lower.
template <typename x_t, typename f_t>
cudaError_t launch_forecast_residual(const ForecastResidualParams<x_t, f_t>& p,
                                     cudaStream_t stream);
#endif

}  // namespace clusca
