// collapsed_residual: what many modules add to the stream, in one pass over it.
//
//   out[b, n] = x[b, n] + sum_m gate_m[b, n] * sum_i weights_mi * factors_m[i, b, n]
//             + s(n) * correction[b, c(n)]
//
//   s(n) = 1 for a representative, gamma for the other tokens of its cluster c(n), and 0 where
//   there is no correction: in a cluster without a representative, or in none.
//
// By the delta rule a module corrects the tokens of a cluster by the same row, so that the rows of
// all modules are summed first (carry_representatives_): M modules cost one read of their factors,
// one of x and one write, where module by module x would be read and written M times. Memory bound;
// float32 inside, rounded once a launch (of up to kMaxModules). Deterministic: one writer per
// element.
#pragma once

#include "kernels/clusters.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

// A module's factors, of the strides all of them have, its weights and its gate.
struct CollapsedModule {
  const void* factors;
  const float* weights;  // null: the values given for all modules
  const void* gate;      // null: ones
  int64_t gate_batch_stride, gate_token_stride;
  int32_t weights_batch_stride;
  Dtype gate_dtype;
};

template <typename x_t, typename f_t>
struct CollapsedResidualParams {
  static constexpr int kMaxModules = 76;  // of one launch: a kernel's parameters are 4 KB

  Tokens<const x_t> x;  // [B, N, D]
  Tokens<x_t> out;      // [B, N, D]; may be x
  Factors<f_t> like;    // of every module, but for the pointers
  int count;            // M
  CollapsedModule modules[kMaxModules];
  Clusters clusters;  // computed: the correction [B, K, D]; absent: there is none
  int64_t B, N, D;

  CLUSCA_HD Factors<f_t> factors(int m) const {
    Factors<f_t> factors = like;
    factors.data = static_cast<const f_t*>(modules[m].factors);
    factors.weights.data = modules[m].weights;
    factors.weights.batch_stride = modules[m].weights_batch_stride;
    return factors;
  }

  CLUSCA_HD Rows gate(int m) const {
    const CollapsedModule& of = modules[m];
    return {of.gate, of.gate_dtype, of.gate_batch_stride, of.gate_token_stride};
  }
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated as forecast_residual_, and with float factors of half x.
template <typename x_t, typename f_t>
cudaError_t launch_collapsed_residual(const CollapsedResidualParams<x_t, f_t>& p,
                                      cudaStream_t stream);
#endif

}  // namespace clusca
