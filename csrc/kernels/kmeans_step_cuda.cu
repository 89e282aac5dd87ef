// CUDA kernels of kmeans_step; the equation and the two stages are in kmeans_step.h.
#include <type_traits>

#include "kernels/kmeans.cuh"
#include "kernels/kmeans_matrix.cuh"
#include "kernels/vec.cuh"

namespace clusca {
namespace {

constexpr int kThreads = 128;
constexpr int kClusters = 32;  // clusters whose sums a block holds in shared memory
constexpr int kSorted = 256;   // tokens sorted by cluster at a time

template <typename scalar_t>
struct Params {
  KmeansStepParams<scalar_t> step;
  Convergence converged;
  int64_t slices, panels, chunks, chunk_tokens;
};

// sorted[0 .. kSorted) <- cluster * kSorted + n of tokens first + n, in ascending order; tokens
// that have no cluster of the panel come last. Counts the others by cluster.
template <typename scalar_t>
__device__ inline void sort_tokens(const KmeansAssignParams<scalar_t>& p, int64_t b, int64_t first,
                                   int64_t end, int64_t panel, uint32_t* keys, uint32_t* sorted,
                                   int32_t* counts) {
  constexpr int kOwn = kSorted / kThreads;
  uint32_t own[kOwn];
  int rank[kOwn] = {};
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int n = threadIdx.x + i * kThreads;
    int64_t k = kClusters;
    if (first + n < end && is_finite(p.distances[b * p.N + first + n])) {
      k = p.cluster_ids[b * p.N + first + n] - panel;
      if (k < 0 || k > kClusters) k = kClusters;
    }
    own[i] = static_cast<uint32_t>(k) * kSorted + n;
    keys[n] = own[i];
    if (k < kClusters) atomicAdd(&counts[k], 1);
  }
  __syncthreads();
#pragma unroll 4
  for (int n = 0; n < kSorted; n += 4) {
    const auto four = *reinterpret_cast<const Packet<uint32_t, 4>*>(keys + n);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) rank[i] += four.data[j] < own[i];
    }
  }
#pragma unroll
  for (int i = 0; i < kOwn; ++i) sorted[rank[i]] = own[i];
  __syncthreads();
}

// A block sums one chunk of tokens for kClusters clusters over a slice of channels. A thread owns
// kVec channels of every cluster, so its sums need no atomics. Tokens of a cluster follow each
// other, in ascending order: a thread adds them in registers.
template <typename scalar_t, int kVec>
__global__ __launch_bounds__(kThreads) void kmeans_accumulate_kernel(
    const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.step.assign;
  constexpr int kBatch = 16 * kVec;  // tokens loaded before the first is added
  __shared__ float sums[kClusters][kThreads * kVec];
  __shared__ int32_t counts[kClusters];
  alignas(16) __shared__ uint32_t keys[kSorted];
  __shared__ uint32_t sorted[kSorted];
  uint32_t rest = blockIdx.x;
  const uint32_t slice = rest % static_cast<uint32_t>(params.slices);
  rest /= static_cast<uint32_t>(params.slices);
  const int64_t panel =
      static_cast<int64_t>(rest % static_cast<uint32_t>(params.panels)) * kClusters;
  rest /= static_cast<uint32_t>(params.panels);
  const int64_t chunk = rest % static_cast<uint32_t>(params.chunks);
  const int64_t b = rest / static_cast<uint32_t>(params.chunks);
  if (params.converged.has(b)) return;

  const int own = threadIdx.x * kVec;
  const int64_t d = static_cast<int64_t>(slice) * kThreads * kVec + own;
  for (int k = 0; k < kClusters; ++k) {
    for (int v = 0; v < kVec; ++v) sums[k][own + v] = 0.f;
  }
  if (threadIdx.x < kClusters) counts[threadIdx.x] = 0;

  const int64_t begin = chunk * params.chunk_tokens;
  const int64_t end = begin + params.chunk_tokens < p.N ? begin + params.chunk_tokens : p.N;
  for (int64_t first = begin; first < end; first += kSorted) {
    __syncthreads();  // counts are zero, nobody reads what was sorted before
    sort_tokens(p, b, first, end, panel, keys, sorted, counts);
    if (d >= p.D) continue;
    float sum[kVec];
    int cluster = -1;  // whose sum it is
    const auto keep = [&](int k) {
#pragma unroll
      for (int v = 0; v < kVec; ++v) sums[k][own + v] = sum[v];
    };
    for (int at = 0; at < kSorted; at += kBatch) {
      if (sorted[at] >= kClusters * kSorted) break;
      Packet<scalar_t, kVec> packet[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        // Past the last one the same token is loaded again, for nobody.
        const uint32_t key = sorted[at + i] < kClusters * kSorted ? sorted[at + i] : sorted[at];
        packet[i] = *reinterpret_cast<const Packet<scalar_t, kVec>*>(
            p.tokens.row(b, first + key % kSorted) + d);
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int k = static_cast<int>(sorted[at + i] / kSorted);
        if (k == kClusters) break;
        if (k != cluster) {
          if (cluster >= 0) keep(cluster);
          cluster = k;
#pragma unroll
          for (int v = 0; v < kVec; ++v) sum[v] = sums[k][own + v];
        }
#pragma unroll
        for (int v = 0; v < kVec; ++v) sum[v] += to_float(packet[i].data[v]);
      }
    }
    if (cluster >= 0) keep(cluster);
  }
  __syncthreads();

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
  const uint32_t slices = static_cast<uint32_t>((p.D + kThreads - 1) / kThreads);
  const uint32_t cluster = blockIdx.x / slices, K = static_cast<uint32_t>(p.K);
  const int64_t d = static_cast<int64_t>(blockIdx.x % slices) * kThreads + threadIdx.x;
  if (d >= p.D) return;
  int32_t count;
  params.step.sums[cluster * p.D + d] =
      add_chunks(params.step, params.chunks, cluster / K, cluster % K, d, &count);
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
  return launch(kmeans_reduce_kernel<scalar_t>, p.B * p.K * ceil_div(p.D, kThreads), dim3(kThreads),
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
