// CUDA kernel of kmeans_assign; the equation is in kmeans_assign.h.
#include <type_traits>

#include "kernels/kmeans.cuh"
#include "kernels/kmeans_matrix.cuh"
#include "kernels/kmeans_rows.cuh"

namespace clusca {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kClusters = 16;     // clusters scored together
constexpr int kLaneTokens = 8;    // a warp's lanes are 8 x 4: a thread has every 8th token
constexpr int kLaneClusters = 4;  // and every 4th cluster
constexpr int kOwnClusters = kClusters / kLaneClusters;
// Blocks that keep the largest chips busy. Only if longer tiles give fewer, tiles are shorter: a
// sum does not depend on it.
constexpr int64_t kEnough = 96;

template <typename scalar_t>
struct Params {
  KmeansAssignParams<scalar_t> assign;
  Convergence converged;
};

// Blocks that share a multiprocessor at least: two leave a thread 128 registers, too few for 32
// tokens in flight.
constexpr int resident(int own_tokens) { return own_tokens > 2 ? 1 : 2; }

template <Metric kMetric>
__device__ inline float add_term(float sum, float x, float c) {
  const float difference = x - c;
  return kMetric == Metric::kL2 ? fmaf(difference, difference, sum) : sum + fabsf(difference);
}

// sum[t][k] += 4 terms of the distance between the lane's tokens and its clusters.
template <Metric kMetric, int kOwnTokens>
__device__ inline void add_group(float (&sum)[kOwnTokens][kOwnClusters], const float* x_tile,
                                 const float* c_tile, int token, int cluster, int group) {
  float x[kOwnTokens][kGroup], c[kOwnClusters][kGroup];
  x_tile += place<kLaneTokens>(token, group), c_tile += place<kLaneClusters>(cluster, group);
#pragma unroll
  for (int t = 0; t < kOwnTokens; ++t) load<kGroup>(x_tile + t * kLaneTokens * kDepth, x[t]);
#pragma unroll
  for (int k = 0; k < kOwnClusters; ++k) load<kGroup>(c_tile + k * kLaneClusters * kDepth, c[k]);
#pragma unroll
  for (int d = 0; d < kGroup; ++d) {
#pragma unroll
    for (int t = 0; t < kOwnTokens; ++t) {
#pragma unroll
      for (int k = 0; k < kOwnClusters; ++k) {
        sum[t][k] = add_term<kMetric>(sum[t][k], x[t][d], c[k][d]);
      }
    }
  }
}

// A token's nearest cluster of a panel, if no panel before has one as near. Called by the 16 lanes
// that have its distances; the first of them writes.
template <typename scalar_t>
__device__ inline void keep_nearest(const KmeansAssignParams<scalar_t>& p, int64_t b, int n,
                                    int panel, int cluster, float distance) {
  // NaN is never the nearest; ties go to the lowest.
  if (cluster >= p.K || !(distance < INFINITY)) distance = INFINITY, cluster = 0;
  for (int other = kClusters / 2; other > 0; other /= 2) {
    const float its = __shfl_xor_sync(0xffffffffu, distance, other);
    const int its_cluster = __shfl_xor_sync(0xffffffffu, cluster, other);
    if (its < distance || (its == distance && its_cluster < cluster)) {
      distance = its, cluster = its_cluster;
    }
  }
  if (threadIdx.x % kClusters != 0 || n >= p.N) return;
  const int64_t at = b * p.N + n;
  if (panel > 0 && !(distance < p.distances[at])) return;
  p.cluster_ids[at] = cluster;
  p.distances[at] = distance;
}

// A block scores kTokens tokens against kClusters clusters at a time. Warp w sums channels 32 w ..
// 32 w + 31, 32 (w + 8) .., without waiting for the others; then the warps' sums are added in
// order. Distances are summed term by term, so nothing cancels.
template <typename scalar_t, Metric kMetric, int kOwnTokens, int kVec>
__global__ __launch_bounds__(kThreads, resident(kOwnTokens)) void kmeans_assign_kernel(
    const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.assign;
  constexpr int kTokens = kOwnTokens * kLaneTokens;
  alignas(16) __shared__ float tiles[kWarps][(kTokens + kClusters) * kDepth];
  const uint32_t blocks = static_cast<uint32_t>((p.N + kTokens - 1) / kTokens);
  const int N = static_cast<int>(p.N), K = static_cast<int>(p.K), D = static_cast<int>(p.D);
  const int64_t b = blockIdx.x / blocks;
  const int first = static_cast<int>(blockIdx.x % blocks) * kTokens;
  if (params.converged.has(b)) return;

  // Lanes that differ in bit 0 or 4 have the same tokens, in bits 1 to 3 the same clusters: 128-bit
  // reads of a quarter of a warp then go together with another's.
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int token = lane / 2 % kLaneTokens, cluster = lane % 2 + lane / 16 * 2;
  float *const x_tile = tiles[warp], *const c_tile = x_tile + kTokens * kDepth;
  RowsInFlight<scalar_t, kTokens, kLaneTokens, kVec> x;
  RowsInFlight<float, kClusters, kLaneClusters, (kVec > 1 ? 4 : 1)> c;
  x.point_to(p.tokens, b, first, N);

  for (int panel = 0; panel < K; panel += kClusters) {
    float sum[kOwnTokens][kOwnClusters] = {};
    c.point_to(p.centroids, b, panel, K);
    int depth = warp * kDepth;
    if (depth + kDepth <= D) x.template load<false>(depth, D), c.template load<false>(depth, D);
    while (depth + kDepth <= D) {
      x.template store<false>(x_tile, depth, D), c.template store<false>(c_tile, depth, D);
      __syncwarp();
      depth += kWarps * kDepth;
      if (depth + kDepth <= D) x.template load<false>(depth, D), c.template load<false>(depth, D);
#pragma unroll
      for (int group = 0; group < kDepth / kGroup; ++group) {
        add_group<kMetric>(sum, x_tile, c_tile, token, cluster, group);
      }
      __syncwarp();  // the tiles may be written again
    }
    if (depth < D) {
      x.template load<true>(depth, D), c.template load<true>(depth, D);
      x.template store<true>(x_tile, depth, D), c.template store<true>(c_tile, depth, D);
      __syncwarp();
#pragma unroll 1
      for (int group = 0; group < kDepth / kGroup; ++group) {
        add_group<kMetric>(sum, x_tile, c_tile, token, cluster, group);
      }
      __syncwarp();
    }

    // The warp's tiles become its sums, a token's clusters in the order 0, 4, 8, 12, 1, 5 ..
    for (int t = 0; t < kOwnTokens; ++t) {
      const int row = token + t * kLaneTokens;
      store<kOwnClusters>(tiles[warp] + row * kClusters + cluster * kOwnClusters, sum[t]);
    }
    __syncthreads();
    for (int at = threadIdx.x; at < kTokens * kClusters; at += kThreads) {  // by whole warps
      const int column = at % kClusters;
      float distance = 0.f;
      for (int w = 0; w < kWarps; ++w) distance += tiles[w][at];
      keep_nearest(p, b, first + at / kClusters, panel,
                   panel + column / kOwnClusters + column % kOwnClusters * kLaneClusters, distance);
    }
    __syncthreads();
  }
}

template <typename scalar_t, Metric kMetric>
cudaError_t launch_metric(const Params<scalar_t>& params, cudaStream_t stream) {
  const KmeansAssignParams<scalar_t>& p = params.assign;
  constexpr int kVec = kPacketSize<scalar_t>;
  constexpr int64_t kFar = 1 << 27;  // see RowsInFlight::Step
  const bool packets = p.D % kVec == 0 && is_aligned(p.tokens) && is_aligned(p.centroids) &&
                       p.tokens.token_stride < kFar && p.centroids.token_stride < kFar;
  const auto go = [&](auto kernel, int own_tokens) {
    return launch(kernel, p.B * ceil_div(p.N, own_tokens * kLaneTokens), dim3(kThreads), stream,
                  params);
  };
  if (!packets) return go(kmeans_assign_kernel<scalar_t, kMetric, 1, 1>, 1);
  if (p.B * ceil_div(p.N, 4 * kLaneTokens) >= kEnough) {
    return go(kmeans_assign_kernel<scalar_t, kMetric, 4, kVec>, 4);
  }
  if (p.B * ceil_div(p.N, 2 * kLaneTokens) >= kEnough) {
    return go(kmeans_assign_kernel<scalar_t, kMetric, 2, kVec>, 2);
  }
  return go(kmeans_assign_kernel<scalar_t, kMetric, 1, kVec>, 1);
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_assign(const KmeansAssignParams<scalar_t>& p, Convergence converged,
                          cudaStream_t stream) {
  if constexpr (!std::is_same_v<scalar_t, float>) {
    if (p.kernel != Kernel::kVector) return launch_matrix_assign(p, converged, stream);
  }
  const Params<scalar_t> params{p, converged};
  return p.metric == Metric::kL2 ? launch_metric<scalar_t, Metric::kL2>(params, stream)
                                 : launch_metric<scalar_t, Metric::kL1>(params, stream);
}

template <typename scalar_t>
cudaError_t launch_kmeans_assign(const KmeansAssignParams<scalar_t>& p, cudaStream_t stream) {
  const cudaError_t error = launch_assign(p, Convergence{nullptr, 0.f}, stream);
  if constexpr (!std::is_same_v<scalar_t, float>) {
    if (error == cudaSuccess && p.kernel != Kernel::kVector) return launch_distances(p, stream);
  }
  return error;
}

#define CLUSCA_INSTANTIATE(T)                                                                  \
  template cudaError_t launch_assign(const KmeansAssignParams<T>&, Convergence, cudaStream_t); \
  template cudaError_t launch_kmeans_assign(const KmeansAssignParams<T>&, cudaStream_t);
CLUSCA_INSTANTIATE(float)
CLUSCA_INSTANTIATE(__half)
CLUSCA_INSTANTIATE(__nv_bfloat16)

}  // namespace clusca
