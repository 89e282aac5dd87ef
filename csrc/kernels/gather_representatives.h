// gather_representatives: the representatives' rows, and what their MLP reads.
//
//   rows[b, k]      = tokens[b, rep[b, k]] + offset[b, k]         offset: zeros if not given
//   y               = norm(rows[b, k])                    layer: (r - mean) / sqrt(var + eps)
//                                                         rms:   r / sqrt(mean(r^2) + eps)
//                                                         none:  r
//   modulated[b, k] = (y * weight + bias) * (1 + scale[b, rep]) + shift[b, rep]
//
// A representative outside [0, N) gives rows of zeros, also modulated. Reads K rows; float32 inside
// (two passes over a row that is in cache), rounded once. Deterministic.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename scalar_t>
struct GatherRepresentativesParams {
  Tokens<const scalar_t> tokens;  // [B, N, D]
  Indices representatives;        // [B, K]
  Rows shift, scale;              // [B, D], [B, 1, D] or per token [B, N, D]; may be absent
  Rows weight, bias;              // [D]; may be absent
  Tokens<const float> offset;     // [B, K, D]; may be absent
  float eps;
  Norm norm;
  scalar_t* rows;       // [B, K, D]  dense
  scalar_t* modulated;  // [B, K, D]  dense
  int64_t B, N, K, D;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename scalar_t>
cudaError_t launch_gather_representatives(const GatherRepresentativesParams<scalar_t>& p,
                                          cudaStream_t stream);
#endif

}  // namespace clusca
