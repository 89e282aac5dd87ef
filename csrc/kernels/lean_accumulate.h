// lean_accumulate_: a module's feature into the few sums that lean storage keeps of all layers.
//
//   accumulators[c, b, n] <- accumulators[c, b, n] + phi[c, b] * feature[b, n]
//
// On a cached step tokens meet only in their representatives (ClusCa, arXiv 2509.10312), so that of
// all others the stream needs no more than sums over layers: every gate of a module is a few
// components' (phi is its coordinates), and of every component there is one sum instead of a
// feature a module. Memory bound: the feature is read once, whatever C is, each accumulator read
// and written once. Float32 inside and out. Deterministic: one writer per element.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

template <typename f_t>
struct LeanAccumulateParams {
  Stack<float> accumulators;  // [C, B, N, D]
  Tokens<const f_t> feature;  // [B, N, D]
  Tokens<const float> phi;    // [C, B, D]: of components and batch rows
  int64_t C, B, N, D;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename f_t>
cudaError_t launch_lean_accumulate(const LeanAccumulateParams<f_t>& p, cudaStream_t stream);
#endif

}  // namespace clusca
