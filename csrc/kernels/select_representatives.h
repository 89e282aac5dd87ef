// select_representatives: a uniformly random member of every cluster.
//
//   representatives[b, k] = argmax over n with cluster_ids[b, n] == k of random_key(stream, n)
//   stream = random_stream(seed[b].sample_seed, seed[b].counter, layer)        (random.h)
//
// -1 for a cluster without members; ids outside [0, K) belong to none; equal keys: the lowest
// token. Reads the labels once per 4,096 clusters. Deterministic: a maximum does not depend on its
// order.
#pragma once

#include "kernels/tensors.h"

#ifdef CLUSCA_CUDA
#include <cuda_runtime_api.h>
#endif

namespace clusca {

struct SelectRepresentativesParams {
  Indices cluster_ids;  // [B, N]
  const int64_t* seed;  // [2] or [B, 2]  (sample seed, counter), the last dimension dense
  int64_t seed_stride;  // 0 for [2]
  int64_t layer;
  int32_t* representatives;  // [B, K]  dense
  int64_t B, N, K;
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`.
cudaError_t launch_select_representatives(const SelectRepresentativesParams& p,
                                          cudaStream_t stream);
#endif

}  // namespace clusca
