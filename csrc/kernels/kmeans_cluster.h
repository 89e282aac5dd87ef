// The cluster kernel of k-means: kmeans_step's labels and sums from one pass over the tokens.
//
// Eight blocks on neighbouring multiprocessors share a chunk of tokens: each has an eighth of the
// channels of all of them, and of all centroids (kmeans_matrix.h), in its shared memory. For a tile
// of tokens
//
//   every block   products of its channels; sent to the blocks that decide
//   block r       r-th eighth of the tile: adds the products, chooses, sends the labels to all
//   every block   adds its channels of the tokens, still in shared memory, to their clusters' sums
//
// so that a token is read once. Products are summed in the order of the blocks and sums in that of
// the tokens: deterministic.
#pragma once

#include "kernels/kmeans_matrix.h"
#include "kernels/kmeans_step.h"

namespace clusca {

constexpr int64_t kClusterBlocks = 8;
constexpr int64_t kClusterMostK = 32;
constexpr int64_t kClusterWarps = 8;   // of a block
constexpr int64_t kClusterStages = 2;  // of tokens: one in use, one on its way

// A block's channels.
constexpr int64_t cluster_slice(int64_t D) {
  return round_up((D + kClusterBlocks - 1) / kClusterBlocks, 16);
}

// Its clusters, and what it has in shared memory for tiles of so many tokens (kmeans_cluster.cuh).
constexpr int64_t cluster_panel(int64_t K) { return K <= 16 ? 16 : 32; }
constexpr int64_t cluster_shared_bytes(int64_t tokens, int64_t panel, int64_t slice) {
  const int64_t groups = kClusterWarps / (tokens / 16);
  const int64_t rows = kCentroidParts * panel + kClusterStages * tokens;
  const int64_t floats = panel * slice + (groups * tokens + tokens) * (panel + 1) + tokens;
  return round_up(rows * (slice + 8) * 2 + floats * 4, 128);
}

#ifdef CLUSCA_CUDA
// Whether the current device runs code made for clusters: not that of older chips' PTX.
cudaError_t has_cluster_code(bool* has);
#endif

// Whether every row starts on 16 bytes.
template <typename half_type>
bool is_aligned_for_clusters(const Tokens<const half_type>& tokens) {
  const int64_t bytes = static_cast<int64_t>(reinterpret_cast<uintptr_t>(tokens.data));
  return (bytes | tokens.batch_stride * 2 | tokens.token_stride * 2) % 16 == 0;
}

}  // namespace clusca
