// kmeans_step: assigns every token and sums the tokens of every cluster. The CPU's kernels and the
// cluster kernel (kmeans_cluster.h) read the tokens once, the others of CUDA once for each.
//
//   cluster_ids       as kmeans_assign
//   sums[b, k]   = sum of tokens[b, n] over n with cluster_ids[b, n] == k
//   counts[b, k] = number of those n               tokens at infinite distance are left out of both
//
// Two deterministic stages: the tokens of a batch row are cut into chunks whose number depends on N
// and K alone, every chunk has partial sums of its own, and these are added in order. No sum is
// atomic; a row's result depends neither on its batch nor on the number of threads. Sums are
// float32.
#pragma once

#include "kernels/kmeans_assign.h"

namespace clusca {

// Chunks are long enough that the partial sums [K, D] of one are at most half of its tokens, if
// these are halves.
constexpr int64_t kmeans_chunks(int64_t N, int64_t K) {
  const int64_t tokens = 4 * K > 256 ? 4 * K : 256;
  const int64_t chunks = (N + tokens - 1) / tokens;
  return chunks < 1 ? 1 : chunks > 64 ? 64 : chunks;
}

constexpr int64_t kmeans_chunk_tokens(int64_t N, int64_t K) {
  const int64_t chunks = kmeans_chunks(N, K), tile = 64;
  return ((N + chunks - 1) / chunks + tile - 1) / tile * tile;
}

// How far a Lloyd iteration moved the centroids of one batch row.
struct KmeansMove {
  float change, largest;  // max |new - old| and max |new| over all centroids
};

template <typename scalar_t>
struct KmeansStepParams {
  KmeansAssignParams<scalar_t> assign;
  float* partial_sums;      // [B, chunks, K, D]  workspace, dense
  int32_t* partial_counts;  // [B, chunks, K]     workspace, dense
  float* sums;              // [B, K, D]          dense
  int32_t* counts;          // [B, K]             dense
};

#ifdef CLUSCA_CUDA
// Asynchronous on `stream`. Instantiated for float, __half and __nv_bfloat16.
template <typename scalar_t>
cudaError_t launch_kmeans_step(const KmeansStepParams<scalar_t>& p, cudaStream_t stream);
#endif

}  // namespace clusca
