// A block's part of the cluster kernel: what it has in shared memory, how it gets there, and the
// products of its channels.
#pragma once

#include <type_traits>

#include "kernels/kmeans_cluster.h"
#include "kernels/kmeans_matrix.cuh"
#include "kernels/tensor_core.cuh"
#include "kernels/thread_block_cluster.cuh"

namespace clusca {

constexpr int kClusterThreads = kClusterWarps * 32;
constexpr int kClusterStep = 16;  // channels of a multiplication

// A block's shared memory for tiles of kTokens and up to kPanel clusters, of as many bytes as
// cluster_shared_bytes says. Rows of tokens and centroids are one packet of 16 bytes longer than a
// slice, whose packets are even in number: the eight rows of a matrix lie in different banks.
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

// A thread's packets of rows of so many: every kClusterThreads-th of all, without divisions.
struct RowPackets {
  int row, packet;

  __device__ explicit RowPackets(int packets)
      : row(threadIdx.x / packets),
        packet(threadIdx.x % packets),
        packets_(packets),
        rows_(kClusterThreads / packets),
        rest_(kClusterThreads % packets) {}

  __device__ void next() {
    row += rows_, packet += rest_;
    if (packet >= packets_) ++row, packet -= packets_;
  }

 private:
  int packets_, rows_, rest_;
};

// Begins to copy a tile's channels d .. d + slice - 1; beyond the last token and channel are zeros.
template <typename T, typename scalar_t>
__device__ inline void load_tokens(const T& tile, int stage, const Tokens<const scalar_t>& tokens,
                                   int64_t b, int first, int last, int d, int slice, int D) {
  for (RowPackets i(slice / 8); i.row < T::kTokens; i.next()) {
    const int t = i.row, packet = i.packet, at = d + packet * 8;
    const bool exists = first + t < last && at < D;
    const scalar_t* from = tokens.row(b, exists ? first + t : first) + (exists ? at : 0);
    copy_packet(tile.token(stage, t) + packet * 16, from, exists);
  }
}

// The centroids' channels of this block, beyond their padding zeros.
template <typename T, typename scalar_t>
__device__ inline void load_centroids(const T& tile, const SplitCentroids<scalar_t>& split,
                                      int64_t b, int d, int slice) {
  for (RowPackets i(slice / 8); i.row < kCentroidParts * T::kPanel; i.next()) {
    const int row = i.row, packet = i.packet, at = d + packet * 8;
    const int k = row % T::kPanel;
    const bool exists = k < split.rows && at < split.depth;
    const scalar_t* from = split.part(b, exists ? k : 0, row / T::kPanel) + (exists ? at : 0);
    copy_packet(tile.centroids + row * tile.row_bytes + packet * 16, from, exists);
  }
}

// A warp's products of sixteen tokens and all centroids, over every kGroups-th step of the slice.
template <typename T, typename scalar_t>
__device__ inline void multiply_tile(const T& tile, int stage, int slice) {
  constexpr bool kSquares = std::is_same_v<scalar_t, __nv_bfloat16>;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, matrix = lane / 8, row = lane % 8;
  const int tokens = warp % T::kTokenTiles * 16, group = warp / T::kTokenTiles;
  float sums[T::kClusterTiles][4] = {}, squares[2] = {};
  for (int step = group; step < slice / kClusterStep; step += T::kGroups) {
    uint32_t x[4];
    const int t = tokens + matrix % 2 * 8 + row;
    load_matrices(x, tile.token(stage, t) + (step * 2 + matrix / 2) * 16);
    if (kSquares) {
#pragma unroll
      for (int i = 0; i < 4; ++i) add_squares(squares[i % 2], x[i]);
    }
#pragma unroll
    for (int part = 0; part < static_cast<int>(kCentroidParts); ++part) {
#pragma unroll
      for (int c = 0; c < T::kClusterTiles; c += 2) {
        uint32_t pair[4];
        const int k = part * T::kPanel + c * 8 + matrix / 2 * 8 + row;
        load_matrices(pair, tile.centroids + k * tile.row_bytes + (step * 2 + matrix % 2) * 16);
        multiply_add<scalar_t>(sums[c], x, pair[0], pair[1]);
        multiply_add<scalar_t>(sums[c + 1], x, pair[2], pair[3]);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float* to = tile.products + (group * T::kTokens + tokens + half * 8 + lane / 4) * T::kWidth;
#pragma unroll
    for (int c = 0; c < T::kClusterTiles; ++c) {
      to[c * 8 + lane % 4 * 2] = sums[c][half * 2];
      to[c * 8 + lane % 4 * 2 + 1] = sums[c][half * 2 + 1];
    }
    float square = squares[half];
    square += __shfl_xor_sync(0xffffffffu, square, 1);
    square += __shfl_xor_sync(0xffffffffu, square, 2);
    if (lane % 4 == 0) to[T::kPanel] = square;
  }
}

// Adds the groups' products and sends them to the blocks that decide.
template <typename T>
__device__ inline void send_products(const T& tile, int rank) {
  for (int i = threadIdx.x; i < T::kTokens * T::kWidth; i += kClusterThreads) {
    const int t = i / T::kWidth, column = i % T::kWidth;
    float sum = 0.f;
#pragma unroll
    for (int group = 0; group < T::kGroups; ++group) {
      sum += tile.products[(group * T::kTokens + t) * T::kWidth + column];
    }
    float* to = tile.inbox + (rank * T::kOwn + t % T::kOwn) * T::kWidth + column;
    *in_block(to, t / T::kOwn) = sum;
  }
}

}  // namespace clusca
