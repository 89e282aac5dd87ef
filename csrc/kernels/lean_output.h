// lean_output: the stream after all layers of a lean cached step, and the norm that reads it.
//
//   y[b, n]   = x[b, n] + sum_j weights[j, b] * sums[j, b, n] + s(n) * correction[b, c(n)]
//   out[b, n] = (norm(y) * weight + bias) * (1 + scale) + shift
//
//   s(n) as in collapsed_residual.h, norm as in gather_representatives.h; of neither a norm nor
//   anything that modulates, out = y.
//
// weights are one a batch row or one a channel of it. A sum whose one weight of a batch row is 0 is
// not read for that row, so that weights of one 1 choose one of J sums at the price of one; by
// channel all are read. Memory bound: one read of x and of these sums, one write; float32 inside,
// rounded once. Deterministic: one writer per element.
#pragma once

#include "kernels/clusters.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

// Float32 [J, B], or [J, B, D] whose last dimension is dense; the other strides are free.
struct LeanWeights {
  const float* data;
  int64_t stride, batch_stride;
  bool by_channel;

  // One number, or the first of D.
  CLUSCA_HD const float* at(int64_t j, int64_t b) const {
    return data + j * stride + b * batch_stride;
  }
};

template <typename x_t, typename s_t>
struct LeanOutputParams {
  static constexpr int64_t kMostNormed = 24576;  // D; of floats a block's memory on every chip

  Tokens<const x_t> x;  // [B, N, D]
  x_t* out;             // [B, N, D]  dense
  Stack<const s_t> sums;
  LeanWeights weights;
  Clusters clusters;  // computed: the correction [B, K, D]; absent: there is none
  Rows shift, scale;  // [B, D], [B, 1, D] or per token [B, N, D]; may be absent
  Rows weight, bias;  // [D]; may be absent
  float eps;
  Norm norm;
  int64_t J, B, N, D;

  CLUSCA_HD x_t* out_row(int64_t b, int64_t n) const { return out + (b * N + n) * D; }
  // Whether out is more than y, so that rows are looked at as a whole.
  CLUSCA_HD bool follows() const {
    return norm != Norm::kNone || shift.data || scale.data || weight.data || bias.data;
  }
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated as collapsed_residual.
template <typename x_t, typename s_t>
cudaError_t launch_lean_output(const LeanOutputParams<x_t, s_t>& p, cudaStream_t stream);
#endif

}  // namespace clusca
