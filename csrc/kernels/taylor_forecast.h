// taylor_forecast: what the cached factors predict for a step.
//
//   out[b, n] = sum_i weights_i * factors[i, b, n]        Taylor: weights_i = distance^i / i!
//
// Memory bound: reads O + 1 token tensors, writes one. Float32 inside, rounded once.
// Deterministic: one writer per element.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename scalar_t>
struct TaylorForecastParams {
  Factors<scalar_t> factors;  // [O + 1, B, N, D]
  Tokens<scalar_t> out;       // [B, N, D]
  int64_t B, N, D;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename scalar_t>
cudaError_t launch_taylor_forecast(const TaylorForecastParams<scalar_t>& p, cudaStream_t stream);
#endif

}  // namespace clusca
