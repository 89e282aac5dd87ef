// taylor_update_: a full step's finite differences, in place.
//
//   F0 <- feature,   Fi <- (Fi-1 new - Fi-1 old) * rates[i - 1]   for 1 <= i <= O
//
// A rate is 1 / spacing, the steps since the last full step, for orders that history reaches, and 0
// for those above. A rate of 0 writes zero and reads nothing old, so factors may be uninitialised
// on the first full step. Memory bound: reads feature and min(O, history) factors, writes O + 1.
// The differences are taken in float32 before rounding. Deterministic: one writer per element.
// Source: TaylorSeer, arXiv 2503.06923; ClusCa, arXiv 2509.10312.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename f_t>
struct TaylorUpdateParams {
  f_t* factors;  // [O + 1, B, N, D]  in place
  int64_t order_stride, batch_stride, token_stride;
  Rows feature;   // [B, N, D]
  int orders;     // O + 1
  Weights rates;  // [O]
  int64_t B, N, D;

  // What order i + 1 is made of the differences of order i by; 0 at the last order.
  CLUSCA_HD float rate(int i) const { return i + 1 < orders ? rates.at(0, i) : 0.f; }
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename f_t>
cudaError_t launch_taylor_update(const TaylorUpdateParams<f_t>& p, cudaStream_t stream);
#endif

}  // namespace clusca
