// The matrix kernel of k-means: scores |c|^2 / 2 - x.c (l2) by tensor cores.
//
// A token's score against every centroid may lack what is common to all of them. So centroids are
// moved by a vector m that lies among them, c' = c - m, which takes a common mean out of products:
//
//   score(n, k) = c'_k.(c'_k / 2 + m) - x_n.c'_k
//
// c'_k is scaled by a power of two and split into two numbers of the tokens' type, so that products
// lose 2^-18 (bfloat16) or 2^-22 (float16) of |x| |c'|. Sums are float32, which tensor cores cut
// off rather than round: up to 2^-24 of a sum for each of the D / 32 multiplications that a warp
// adds to it, 2^-16 of it for D = 8192. Labels are float64's where the margin is wider. m is a
// median of three centroids, channel by channel: exact where centroids are, and one centroid far
// away cannot spoil it.
#pragma once

#include "kernels/kmeans_assign.h"

namespace clusca {

constexpr int64_t kCentroidParts = 2;
constexpr int64_t kMatrixDepth = 128;  // channels are padded to it

// Clusters scored together. Beyond 16 the tokens are read again for every 64.
constexpr int64_t matrix_panel(int64_t K) { return K <= 16 ? 16 : 64; }

template <typename scalar_t>
struct SplitCentroids {
  scalar_t* parts;  // [B, rows, kCentroidParts, depth]  zeros beyond K and D
  float* offsets;   // [B, rows]  c'.(c' / 2 + m), infinity where there is no centroid
  float* scales;    // [B, rows]  of the products
  float* squares;   // [B, rows]  |c|^2
  int64_t rows, depth;

  CLUSCA_HD scalar_t* part(int64_t b, int64_t k, int64_t i) const {
    return parts + ((b * rows + k) * kCentroidParts + i) * depth;
  }
};

CLUSCA_HD constexpr int64_t round_up(int64_t value, int64_t to) {
  return (value + to - 1) / to * to;
}

// Lays them out in the kernel's workspace.
template <typename scalar_t>
SplitCentroids<scalar_t> split_centroids(void* workspace, int64_t B, int64_t K, int64_t D) {
  const int64_t rows = round_up(K, matrix_panel(K)), depth = round_up(D, kMatrixDepth);
  auto* parts = static_cast<scalar_t*>(workspace);
  auto* offsets = reinterpret_cast<float*>(parts + B * rows * kCentroidParts * depth);
  return {parts, offsets, offsets + B * rows, offsets + 2 * B * rows, rows, depth};
}

// Float32 elements of the workspace: two halves are as large as one.
constexpr int64_t matrix_workspace(int64_t B, int64_t K, int64_t D) {
  const int64_t rows = round_up(K, matrix_panel(K));
  return B * rows * (kCentroidParts * round_up(D, kMatrixDepth) / 2 + 3);
}

}  // namespace clusca
