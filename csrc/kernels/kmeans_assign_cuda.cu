// CUDA kernel of kmeans_assign; the equation is in kmeans_assign.h.
#include <type_traits>

#include "kernels/kmeans.cuh"
#include "kernels/kmeans_matrix.cuh"
#include "kernels/vec.cuh"

namespace clusca {
namespace {

constexpr int kThreads = 128;
constexpr int kTokens = 32;    // tokens of a block: N = 4096 gives 128 blocks
constexpr int kClusters = 16;  // clusters scored together
constexpr int kDepth = 64;     // channels in shared memory at a time
constexpr int kLanes = 8;      // threads that share a token, each with every 8th cluster
constexpr int kOwnTokens = kTokens * kLanes / kThreads, kOwnClusters = kClusters / kLanes;

template <typename scalar_t>
struct Params {
  KmeansAssignParams<scalar_t> assign;
  Convergence converged;
};

// to[row][d] <- from.row(b, first + row)[depth + d], zero beyond `rows` and D.
template <int kRows, int kVec, typename T>
__device__ inline void load_tile(float (&to)[kRows][kDepth + 1], const Tokens<T>& from, int64_t b,
                                 int first, int rows, int depth, int D) {
  for (int i = threadIdx.x * kVec; i < kRows * kDepth; i += kThreads * kVec) {
    const int row = i / kDepth, d = i % kDepth;
    float value[kVec] = {};
    if (first + row < rows && depth + d < D) {
      load<kVec>(from.row(b, first + row) + depth + d, value);
    }
#pragma unroll
    for (int v = 0; v < kVec; ++v) to[row][d + v] = value[v];
  }
}

// A thread owns tokens token, token + 16 of the block and clusters lane, lane + 8 of a panel.
// Distances are summed term by term, so nothing cancels.
template <typename scalar_t, Metric kMetric, int kVec>
__global__ __launch_bounds__(kThreads, 8) void kmeans_assign_kernel(const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.assign;
  __shared__ float x[kTokens][kDepth + 1];
  __shared__ float c[kClusters][kDepth + 1];
  const uint32_t tiles = static_cast<uint32_t>((p.N + kTokens - 1) / kTokens);
  const int N = static_cast<int>(p.N), K = static_cast<int>(p.K), D = static_cast<int>(p.D);
  const int64_t b = blockIdx.x / tiles;
  const int first = static_cast<int>(blockIdx.x % tiles) * kTokens;
  if (params.converged.has(b)) return;
  const int lane = threadIdx.x % kLanes, token = threadIdx.x / kLanes;

  float best[kOwnTokens];
  int32_t id[kOwnTokens];
  for (int t = 0; t < kOwnTokens; ++t) best[t] = INFINITY, id[t] = 0;

  for (int panel = 0; panel < K; panel += kClusters) {
    float sum[kOwnTokens][kOwnClusters] = {};
    for (int depth = 0; depth < D; depth += kDepth) {
      load_tile<kTokens, kVec>(x, p.tokens, b, first, N, depth, D);
      load_tile<kClusters, 1>(c, p.centroids, b, panel, K, depth, D);
      __syncthreads();
#pragma unroll 8
      for (int d = 0; d < kDepth; ++d) {
#pragma unroll
        for (int t = 0; t < kOwnTokens; ++t) {
#pragma unroll
          for (int k = 0; k < kOwnClusters; ++k) {
            const float difference =
                x[token + t * (kThreads / kLanes)][d] - c[lane + k * kLanes][d];
            sum[t][k] += kMetric == Metric::kL2 ? difference * difference : fabsf(difference);
          }
        }
      }
      __syncthreads();
    }
    // Ascending clusters and a strict comparison: ties go to the lowest. NaN is never lower.
    for (int t = 0; t < kOwnTokens; ++t) {
      for (int k = 0; k < kOwnClusters; ++k) {
        const int cluster = panel + lane + k * kLanes;
        if (cluster < K && sum[t][k] < best[t]) best[t] = sum[t][k], id[t] = cluster;
      }
    }
  }

  for (int t = 0; t < kOwnTokens; ++t) {
    for (int other = kLanes / 2; other > 0; other /= 2) {
      const float distance = __shfl_xor_sync(0xffffffffu, best[t], other);
      const int32_t cluster = __shfl_xor_sync(0xffffffffu, id[t], other);
      if (distance < best[t] || (distance == best[t] && cluster < id[t])) {
        best[t] = distance, id[t] = cluster;
      }
    }
    const int n = first + token + t * (kThreads / kLanes);
    if (lane == 0 && n < N) {
      p.cluster_ids[b * p.N + n] = is_finite(best[t]) ? id[t] : 0;
      p.distances[b * p.N + n] = best[t];
    }
  }
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_assign(const KmeansAssignParams<scalar_t>& p, Convergence converged,
                          cudaStream_t stream) {
  if constexpr (!std::is_same_v<scalar_t, float>) {
    if (p.kernel != Kernel::kVector) return launch_matrix_assign(p, converged, stream);
  }
  constexpr int kVec = kPacketSize<scalar_t>;
  const bool packets = p.D % kVec == 0 && is_aligned(p.tokens);
  const auto l2 = packets ? kmeans_assign_kernel<scalar_t, Metric::kL2, kVec>
                          : kmeans_assign_kernel<scalar_t, Metric::kL2, 1>;
  const auto l1 = packets ? kmeans_assign_kernel<scalar_t, Metric::kL1, kVec>
                          : kmeans_assign_kernel<scalar_t, Metric::kL1, 1>;
  return launch(p.metric == Metric::kL2 ? l2 : l1, p.B * ceil_div(p.N, kTokens), dim3(kThreads),
                stream, Params<scalar_t>{p, converged});
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
