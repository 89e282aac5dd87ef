// What a block of the cluster kernel has in shared memory, and how it gets there.
#pragma once

#include "kernels/kmeans_cluster.h"
#include "kernels/launch.cuh"
#include "kernels/tensor_core.cuh"

namespace clusca {

constexpr int kClusterThreads = kClusterWarps * 32;

// A block's shared memory for tiles of kTokens and up to kPanel clusters, of as many bytes as
// cluster_shared_bytes says. Rows of tokens and
// centroids are one packet of 16 bytes longer than a slice, whose packets are even in number: the
// eight rows of a matrix lie in different banks.
template <int kTokens_, int kPanel_>
struct ClusterTile {
  static constexpr int kTokens = kTokens_, kPanel = kPanel_;
  static constexpr int kTokenTiles = kTokens / 16, kClusterTiles = kPanel / 8;
  static constexpr int kGroups = kClusterWarps / kTokenTiles;  // of warps with the same tokens
  static constexpr int kOwn = kTokens / kClusterBlocks;        // tokens a block decides on
  static constexpr int kWidth = kPanel + 1;  // products of a token, and its square

  unsigned char *centroids, *tokens;
  float *sums, *products, *inbox;  // [kPanel, slice], [kGroups, kTokens, kWidth],
                                   // [kClusterBlocks, kOwn, kWidth]
  int32_t* labels;                 // [kTokens], -1: none
  int row_bytes;

  __device__ ClusterTile(unsigned char* shared, int slice) : row_bytes((slice + 8) * 2) {
    centroids = shared;
    tokens = centroids + kCentroidParts * kPanel * row_bytes;
    sums = reinterpret_cast<float*>(tokens + kClusterStages * kTokens * row_bytes);
    products = sums + kPanel * slice;
    inbox = products + kGroups * kTokens * kWidth;
    labels = reinterpret_cast<int32_t*>(inbox + kClusterBlocks * kOwn * kWidth);
  }

  __device__ unsigned char* token(int stage, int t) const {
    return tokens + (stage * kTokens + t) * row_bytes;
  }
};

// Begins to copy a tile's channels d .. d + slice - 1; beyond the last token and channel are zeros.
template <typename T, typename scalar_t>
__device__ inline void load_tokens(const T& tile, int stage, const Tokens<const scalar_t>& tokens,
                                   int64_t b, int first, int last, int d, int slice, int D) {
  const int packets = slice / 8;
  for (int i = threadIdx.x; i < T::kTokens * packets; i += kClusterThreads) {
    const int t = i / packets, packet = i % packets, at = d + packet * 8;
    const bool exists = first + t < last && at < D;
    const scalar_t* from = tokens.row(b, exists ? first + t : first) + (exists ? at : 0);
    copy_packet(tile.token(stage, t) + packet * 16, from, exists);
  }
}

// The centroids' channels of this block, beyond their padding zeros.
template <typename T, typename scalar_t>
__device__ inline void load_centroids(const T& tile, const SplitCentroids<scalar_t>& split,
                                      int64_t b, int d, int slice) {
  const int packets = slice / 8;
  for (int i = threadIdx.x; i < kCentroidParts * T::kPanel * packets; i += kClusterThreads) {
    const int row = i / packets, packet = i % packets, at = d + packet * 8;
    const int k = row % T::kPanel;
    const bool exists = k < split.rows && at < split.depth;
    const scalar_t* from = split.part(b, exists ? k : 0, row / T::kPanel) + (exists ? at : 0);
    copy_packet(tile.centroids + row * tile.row_bytes + packet * 16, from, exists);
  }
}

}  // namespace clusca
