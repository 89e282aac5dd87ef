// carry_representatives_: what a module adds to the representatives, while all other tokens wait
// for collapsed_residual.
//
//   F(b, k) = sum_i weights_i * factors[i, b, rep[b, k]]
//
//   without computed:  offset[b, k]     += gate[b, rep] * F(b, k)
//   with computed:     offset[b, k]     += gate[b, rep] * computed[b, k]
//                      correction[b, k] += gate[b, rep] * (computed[b, k] - F(b, k))
//
// A representative outside [0, N) leaves its rows as they are. Reads K rows of every factor;
// float32 inside. Deterministic: one writer per element.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename f_t>
struct CarryRepresentativesParams {
  Tokens<float> offset, correction;  // [B, K, D]  in place
  Factors<f_t> factors;              // [O + 1, B, N, D]
  Indices representatives;           // [B, K]
  Rows gate;                         // [B, D], [B, 1, D] or [B, N, D]
  Rows computed;                     // [B, K, D]; may be absent
  int64_t B, N, K, D;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename f_t>
cudaError_t launch_carry_representatives(const CarryRepresentativesParams<f_t>& p,
                                         cudaStream_t stream);
#endif

}  // namespace clusca
