// What the CUDA sources of the matrix kernel share; kmeans_matrix.h says what it computes.
#pragma once

#include "kernels/kmeans.cuh"
#include "kernels/kmeans_matrix.h"
#include "kernels/vec.cuh"

namespace clusca {

template <typename scalar_t>
struct MatrixParams {
  KmeansAssignParams<scalar_t> assign;
  Convergence converged;
  SplitCentroids<scalar_t> split;
};

constexpr float kSafe = 1e37f;  // squares and products below it have not overflowed

// Eight elements of a row whose packets are not aligned or not whole, zeros beyond its end.
template <typename scalar_t>
__device__ inline Packet<scalar_t, 8> gather_packet(const scalar_t* row, int d, int D) {
  Packet<scalar_t, 8> packet;
#pragma unroll
  for (int v = 0; v < 8; ++v) packet.data[v] = d + v < D ? row[d + v] : from_float<scalar_t>(0.f);
  return packet;
}

// sum += the squares of two bfloat16.
__device__ inline void add_squares(float& sum, uint32_t pair) {
  const float low = __int_as_float(static_cast<int>(pair << 16));
  const float high = __int_as_float(static_cast<int>(pair & 0xffff0000u));
  sum += low * low + high * high;
}

// Whether the distance to centroid k, of that score, is finite; `square` is the token's, or 0 where
// it cannot overflow. |x - c|^2 is at most 2 (|x|^2 + |c|^2).
template <typename scalar_t>
__device__ inline bool is_finite_distance(const MatrixParams<scalar_t>& params, int64_t b,
                                          int64_t n, int64_t k, float score, float square) {
  const SplitCentroids<scalar_t>& split = params.split;
  if (fabsf(score) < kSafe && square + split.squares[b * split.rows + k] < kSafe) return true;
  const KmeansAssignParams<scalar_t>& p = params.assign;
  float sum = 0.f;
  for (int64_t d = 0; d < p.D && is_finite(sum); ++d) {
    const float difference = to_float(p.tokens.row(b, n)[d]) - p.centroids.row(b, k)[d];
    sum += difference * difference;
  }
  return is_finite(sum);
}

// A distance that is not finite is infinite; one that is, is not known yet.
template <typename scalar_t>
__device__ inline void write_label(const KmeansAssignParams<scalar_t>& p, int64_t b, int64_t n,
                                   int k, bool finite) {
  p.cluster_ids[b * p.N + n] = finite ? k : 0;
  p.distances[b * p.N + n] = finite ? 0.f : INFINITY;
}

// Splits the centroids, as it must be done before every assignment.
template <typename scalar_t>
cudaError_t launch_split(const MatrixParams<scalar_t>& p, cudaStream_t stream);

// Labels; a distance is only finite if the true one is.
template <typename scalar_t>
cudaError_t launch_matrix_assign(const KmeansAssignParams<scalar_t>& p, Convergence converged,
                                 cudaStream_t stream);

// Labels and the chunks' sums by the cluster kernel, of tokens it takes.
template <typename scalar_t>
cudaError_t launch_cluster(const KmeansStepParams<scalar_t>& step, Convergence converged,
                           cudaStream_t stream);

// The true distances to the labels' centroids, summed term by term.
template <typename scalar_t>
cudaError_t launch_distances(const KmeansAssignParams<scalar_t>& p, cudaStream_t stream);

}  // namespace clusca
