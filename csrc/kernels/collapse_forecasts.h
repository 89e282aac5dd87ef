// collapse_forecasts_: what many modules will add to their stream at S coming steps, in one pass.
//
//   sums[s, b, n] <- sum_m gate_m[s, b] * sum_i weights_m[s, i] * factors_m[i, b, n]
//
// Factors stay as they are from one full step to the next, and where timesteps are known so are all
// gates and weights: M modules' factors are read once for S cached steps, each of which then reads
// one row of sums a token instead. Memory bound: one read of the factors, one write of the sums;
// float32 inside and out. Deterministic: one writer per element.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

// A module's factors, of the strides all of them have, its weights and its gate at every step.
struct ForecastModule {
  const void* factors;
  const float* weights;  // [S, O + 1]
  const void* gate;      // null: ones
  int64_t gate_step_stride, gate_batch_stride;
  int32_t weights_step_stride;
  Dtype gate_dtype;
};

template <typename f_t>
struct CollapseForecastsParams {
  static constexpr int kMaxModules = 76;  // of one launch: a kernel's parameters are 4 KB
  static constexpr int kMaxSteps = 8;

  Stack<float> sums;                                 // [S, B, N, D]
  int64_t order_stride, batch_stride, token_stride;  // of every module's factors
  int orders, steps, count;                          // O + 1, S, M
  bool adds;  // to sums that modules of another launch have left
  ForecastModule modules[kMaxModules];
  int64_t B, N, D;

  CLUSCA_HD const f_t* factor(int m, int i, int64_t b, int64_t n) const {
    return static_cast<const f_t*>(modules[m].factors) + i * order_stride + b * batch_stride +
           n * token_stride;
  }
  CLUSCA_HD float weight(int m, int s, int i) const {
    return modules[m].weights[s * modules[m].weights_step_stride + i];
  }
  // Of steps and batch rows.
  CLUSCA_HD Rows gate(int m) const {
    const ForecastModule& of = modules[m];
    return {of.gate, of.gate_dtype, of.gate_step_stride, of.gate_batch_stride};
  }
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half, __nv_bfloat16.
template <typename f_t>
cudaError_t launch_collapse_forecasts(const CollapseForecastsParams<f_t>& p, cudaStream_t stream);
#endif

}  // namespace clusca
