// CUDA kernels before and after the matrix kernel of k-means: centroids in parts, true distances.
#include "kernels/kmeans_matrix.cuh"
#include "kernels/reduce.cuh"
#include "kernels/vec.cuh"

namespace clusca {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int kLargest = 13;  // scaled centroids are below 2^14: their low parts are normal numbers

__device__ inline float power_of_two(int exponent) {  // of a normal number
  return __int_as_float((exponent + 127) << 23);
}

__device__ inline int exponent_of(float value) {  // not negative, finite
  return ((__float_as_int(value) >> 23) & 255) - 127;
}

// m of kmeans_matrix.h. fminf and fmaxf prefer numbers to NaN.
__device__ inline float middle(const Tokens<const float>& centroids, int64_t b, int64_t K,
                               int64_t d) {
  const float first = centroids.row(b, 0)[d], second = centroids.row(b, K / 2)[d];
  const float third = centroids.row(b, K - 1)[d];
  const float value = fmaxf(fminf(first, second), fminf(fmaxf(first, second), third));
  return is_finite(value) ? value : 0.f;
}

// One block a row of SplitCentroids.
template <typename scalar_t>
__global__ __launch_bounds__(kThreads) void kmeans_split_kernel(const MatrixParams<scalar_t> p) {
  __shared__ float scratch[kWarps];
  const SplitCentroids<scalar_t>& split = p.split;
  const int64_t b = blockIdx.x / split.rows, k = blockIdx.x % split.rows;
  const int64_t K = p.assign.K, D = p.assign.D;
  if (p.converged.has(b)) return;
  const float* centroid = k < K ? p.assign.centroids.row(b, k) : nullptr;
  float offset = 0.f, square = 0.f, largest = 0.f;
  for (int64_t d = threadIdx.x; centroid && d < D; d += kThreads) {
    const float m = middle(p.assign.centroids, b, K, d), moved = centroid[d] - m;
    offset += moved * (0.5f * moved + m);
    square += centroid[d] * centroid[d];
    largest = fmaxf(largest, fabsf(moved));
  }
  offset = block_sum<kThreads>(offset, scratch);
  square = block_sum<kThreads>(square, scratch);
  largest = block_max<kThreads>(largest, scratch);
  const bool exists = centroid && is_finite(offset);
  const int up = exists && largest > 0.f ? kLargest - max(exponent_of(largest), -100) : 0;
  const float scale = power_of_two(up);
  scalar_t *high = split.part(b, k, 0), *low = split.part(b, k, 1);
  for (int64_t d = threadIdx.x; d < split.depth; d += kThreads) {
    const bool is_in = exists && d < D;
    const float value = is_in ? scale * (centroid[d] - middle(p.assign.centroids, b, K, d)) : 0.f;
    high[d] = from_float<scalar_t>(value);
    low[d] = from_float<scalar_t>(value - to_float(high[d]));
  }
  if (threadIdx.x == 0) {
    split.offsets[b * split.rows + k] = exists ? offset : INFINITY;
    split.scales[b * split.rows + k] = power_of_two(-up);
    split.squares[b * split.rows + k] = square;
  }
}

constexpr int kLane = 8;  // channels in succession that a lane has, in packets or one by one

// One warp a token.
template <typename scalar_t, int kVec>
__global__ __launch_bounds__(kThreads) void kmeans_distance_kernel(
    const KmeansAssignParams<scalar_t> p) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  if (i >= p.B * p.N) return;
  const int64_t b = i / p.N, n = i % p.N;
  const scalar_t* token = p.tokens.row(b, n);
  const float* centroid = p.centroids.row(b, p.cluster_ids[i]);
  float sum = 0.f;
  for (int64_t first = lane * kLane; first < p.D; first += 32 * kLane) {
    for (int64_t d = first; d < first + kLane && d < p.D; d += kVec) {
      float x[kVec], c[kVec];
      load<kVec>(token + d, x);
      load<kVec>(centroid + d, c);
#pragma unroll
      for (int v = 0; v < kVec; ++v) sum += (x[v] - c[v]) * (x[v] - c[v]);
    }
  }
  sum = warp_sum(sum);
  if (lane != 0) return;
  p.distances[i] = is_finite(sum) ? sum : INFINITY;
  if (!is_finite(sum)) p.cluster_ids[i] = 0;
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_split(const MatrixParams<scalar_t>& p, cudaStream_t stream) {
  return launch(kmeans_split_kernel<scalar_t>, p.assign.B * p.split.rows, dim3(kThreads), stream,
                p);
}

template <typename scalar_t>
cudaError_t launch_distances(const KmeansAssignParams<scalar_t>& p, cudaStream_t stream) {
  constexpr int kVec = kPacketSize<scalar_t>;
  const bool packets = p.D % kVec == 0 && is_aligned(p.tokens) && is_aligned(p.centroids);
  const auto kernel =
      packets ? kmeans_distance_kernel<scalar_t, kVec> : kmeans_distance_kernel<scalar_t, 1>;
  return launch(kernel, ceil_div(p.B * p.N, kWarps), dim3(kThreads), stream, p);
}

#define CLUSCA_INSTANTIATE(T)                                              \
  template cudaError_t launch_split(const MatrixParams<T>&, cudaStream_t); \
  template cudaError_t launch_distances(const KmeansAssignParams<T>&, cudaStream_t);
CLUSCA_INSTANTIATE(__half)
CLUSCA_INSTANTIATE(__nv_bfloat16)

}  // namespace clusca
