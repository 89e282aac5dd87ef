// CUDA kernels of kmeans_step; the equation and the two stages are in kmeans_step.h.
#include <type_traits>

#include "kernels/kmeans.cuh"
#include "kernels/kmeans_matrix.cuh"
#include "kernels/vec.cuh"

namespace clusca {
namespace {

constexpr int kThreads = 128;
constexpr int kClusters = 32;  // clusters whose sums a block holds in shared memory
constexpr int kBatch = 8;      // tokens loaded before the first is added

template <typename scalar_t>
struct Params {
  KmeansStepParams<scalar_t> step;
  Convergence converged;
  int64_t slices, panels, chunks, chunk_tokens;
};

// A block sums one chunk of tokens for kClusters clusters over a slice of channels. A thread owns
// kVec channels of every cluster, so its sums need no atomics.
template <typename scalar_t, int kVec>
__global__ __launch_bounds__(kThreads) void kmeans_accumulate_kernel(
    const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.step.assign;
  __shared__ float sums[kClusters][kThreads * kVec];
  __shared__ int32_t counts[kClusters];
  int64_t rest = blockIdx.x;
  const int64_t slice = rest % params.slices;
  rest /= params.slices;
  const int64_t panel = rest % params.panels * kClusters;
  rest /= params.panels;
  const int64_t chunk = rest % params.chunks, b = rest / params.chunks;
  if (params.converged.has(b)) return;

  const int own = threadIdx.x * kVec;
  const int64_t d = slice * kThreads * kVec + own;
  for (int k = 0; k < kClusters; ++k) {
    for (int v = 0; v < kVec; ++v) sums[k][own + v] = 0.f;
    if (threadIdx.x == 0) counts[k] = 0;
  }

  const int64_t begin = chunk * params.chunk_tokens;
  const int64_t end = begin + params.chunk_tokens < p.N ? begin + params.chunk_tokens : p.N;
  const int32_t* ids = p.cluster_ids + b * p.N;
  const float* distances = p.distances + b * p.N;
  for (int64_t n = begin; n < end; n += kBatch) {
    float value[kBatch][kVec];
    int cluster[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const bool is_in = n + i < end && is_finite(distances[n + i]);
      const int64_t k = is_in ? ids[n + i] - panel : -1;
      cluster[i] = k >= 0 && k < kClusters ? static_cast<int>(k) : -1;
      if (cluster[i] >= 0 && d < p.D) load<kVec>(p.tokens.row(b, n + i) + d, value[i]);
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (cluster[i] < 0) continue;
      if (threadIdx.x == 0) ++counts[cluster[i]];
      if (d >= p.D) continue;
#pragma unroll
      for (int v = 0; v < kVec; ++v) sums[cluster[i]][own + v] += value[i][v];
    }
  }

  for (int k = 0; k < kClusters && panel + k < p.K; ++k) {
    const int64_t at = (b * params.chunks + chunk) * p.K + panel + k;
    if (threadIdx.x == 0 && slice == 0) params.step.partial_counts[at] = counts[k];
    if (d >= p.D) continue;
    for (int v = 0; v < kVec; ++v) params.step.partial_sums[at * p.D + d + v] = sums[k][own + v];
  }
}

// One thread a channel of a cluster: the chunks' partial sums, added in order.
template <typename scalar_t>
__global__ __launch_bounds__(kThreads) void kmeans_reduce_kernel(const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.step.assign;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= p.B * p.K * p.D) return;
  const int64_t cluster = i / p.D, d = i % p.D, b = cluster / p.K, k = cluster % p.K;
  int32_t count;
  params.step.sums[i] = add_chunks(params.step, params.chunks, b, k, d, &count);
  if (d == 0) params.step.counts[cluster] = count;
}

template <typename scalar_t>
Params<scalar_t> params_of(const KmeansStepParams<scalar_t>& step, Convergence converged, int vec) {
  const KmeansAssignParams<scalar_t>& p = step.assign;
  return {step,
          converged,
          ceil_div(p.D, kThreads * vec),
          ceil_div(p.K, kClusters),
          kmeans_chunks(p.N, p.K),
          kmeans_chunk_tokens(p.N, p.K)};
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_label_and_add(const KmeansStepParams<scalar_t>& step, Convergence converged,
                                 cudaStream_t stream) {
  const KmeansAssignParams<scalar_t>& p = step.assign;
  if constexpr (!std::is_same_v<scalar_t, float>) {
    if (p.kernel == Kernel::kCluster) return launch_cluster(step, converged, stream);
  }
  const cudaError_t error = launch_assign(p, converged, stream);
  if (error != cudaSuccess) return error;
  // Two channels a thread: 32 kB of sums, so that several blocks share a multiprocessor.
  const bool pairs = p.D % 2 == 0 && is_aligned(p.tokens);
  const auto kernel =
      pairs ? kmeans_accumulate_kernel<scalar_t, 2> : kmeans_accumulate_kernel<scalar_t, 1>;
  const Params<scalar_t> params = params_of(step, converged, pairs ? 2 : 1);
  return launch(kernel, p.B * params.chunks * params.panels * params.slices, dim3(kThreads), stream,
                params);
}

template <typename scalar_t>
cudaError_t launch_kmeans_step(const KmeansStepParams<scalar_t>& step, cudaStream_t stream) {
  const Convergence nobody{nullptr, 0.f};
  const cudaError_t error = launch_label_and_add(step, nobody, stream);
  if (error != cudaSuccess) return error;
  const KmeansAssignParams<scalar_t>& p = step.assign;
  return launch(kmeans_reduce_kernel<scalar_t>, ceil_div(p.B * p.K * p.D, kThreads), dim3(kThreads),
                stream, params_of(step, nobody, 1));
}

#define CLUSCA_INSTANTIATE(T)                                                        \
  template cudaError_t launch_label_and_add(const KmeansStepParams<T>&, Convergence, \
                                            cudaStream_t);                           \
  template cudaError_t launch_kmeans_step(const KmeansStepParams<T>&, cudaStream_t);
CLUSCA_INSTANTIATE(float)
CLUSCA_INSTANTIATE(__half)
CLUSCA_INSTANTIATE(__nv_bfloat16)

}  // namespace clusca
