// CUDA kernels of kmeans_fit; the algorithm is in kmeans_fit.h.
#include "kernels/kmeans.cuh"
#include "kernels/kmeans_fit.h"
#include "kernels/reduce.cuh"
#include "kernels/vec.cuh"

namespace clusca {
namespace {

constexpr int kThreads = 128;
constexpr int kCountTokens = 2048;  // tokens whose labels a block counts
constexpr int kCounters = 1024;     // clusters it counts at a time

template <typename scalar_t>
struct Params {
  KmeansFitParams<scalar_t> fit;
  Convergence converged;
  KmeansMove* move;  // [B]  this iteration's, zero before it
  int64_t chunks;
};

// The bits of floats that are not negative order as the floats do, so an integer maximum is theirs;
// it does not depend on the order of the atomics.
__device__ inline void atomic_max(float* to, float value) {
  atomicMax(reinterpret_cast<int*>(to), __float_as_int(value));
}

// One thread a channel of a cluster: adds the chunks' partial sums and moves the centroid. No block
// serves two clusters.
template <typename scalar_t>
__global__ __launch_bounds__(kThreads) void kmeans_update_kernel(const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.fit.step.assign;
  const uint32_t slices = static_cast<uint32_t>((p.D + kThreads - 1) / kThreads);
  const uint32_t cluster = blockIdx.x / slices, K = static_cast<uint32_t>(p.K);
  const int64_t b = cluster / K, k = cluster % K;
  const int64_t d = static_cast<int64_t>(blockIdx.x % slices) * kThreads + threadIdx.x;
  if (params.converged.has(b)) return;
  float change = 0.f, largest = 0.f;
  if (d < p.D) {
    int32_t count;
    const float sum = add_chunks(params.fit.step, params.chunks, b, k, d, &count);
    float* centroid = params.fit.centroids + cluster * p.D + d;
    const float now = count > 0 ? sum / static_cast<float>(count) : *centroid;
    if (is_finite(now)) change = fabsf(now - *centroid), largest = fabsf(now);
    *centroid = now;
    if (k == 0 && d == 0) ++params.fit.iterations[b];
  }
  __shared__ float scratch[kThreads / 32];
  change = block_max<kThreads>(change, scratch), largest = block_max<kThreads>(largest, scratch);
  if (threadIdx.x != 0) return;
  atomic_max(&params.move[b].change, change);
  atomic_max(&params.move[b].largest, largest);
}

// counts[b, k] += tokens with this returned label, of kCountTokens: first in shared memory. Sums of
// integers do not depend on the order of the atomics.
template <typename scalar_t>
__global__ __launch_bounds__(kThreads) void kmeans_count_kernel(const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.fit.step.assign;
  __shared__ int32_t counters[kCounters];
  const uint32_t blocks = static_cast<uint32_t>((p.N + kCountTokens - 1) / kCountTokens);
  const int64_t b = blockIdx.x / blocks;
  const int64_t begin = static_cast<int64_t>(blockIdx.x % blocks) * kCountTokens;
  const int64_t end = begin + kCountTokens < p.N ? begin + kCountTokens : p.N;
  for (int64_t first = 0; first < p.K; first += kCounters) {
    const int64_t count = p.K - first < kCounters ? p.K - first : kCounters;
    for (int64_t k = threadIdx.x; k < count; k += kThreads) counters[k] = 0;
    __syncthreads();
#pragma unroll 4
    for (int64_t n = b * p.N + begin + threadIdx.x; n < b * p.N + end; n += kThreads) {
      const int64_t k = p.cluster_ids[n] - first;
      if (is_finite(p.distances[n]) && k >= 0 && k < count) atomicAdd(&counters[k], 1);
    }
    __syncthreads();
    for (int64_t k = threadIdx.x; k < count; k += kThreads) {
      if (counters[k] > 0) atomicAdd(&params.fit.step.counts[b * p.K + first + k], counters[k]);
    }
    __syncthreads();
  }
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_kmeans_fit(const KmeansFitParams<scalar_t>& fit, cudaStream_t stream) {
  const KmeansAssignParams<scalar_t>& p = fit.step.assign;
  if (p.B == 0) return cudaSuccess;
  cudaError_t error = cudaMemsetAsync(fit.iterations, 0, p.B * sizeof(int32_t), stream);
  if (error == cudaSuccess) {
    error = cudaMemsetAsync(fit.moves, 0, (fit.max_iters + 1) * p.B * sizeof(KmeansMove), stream);
  }
  Params<scalar_t> params{fit, {nullptr, fit.rtol}, fit.moves, kmeans_chunks(p.N, p.K)};
  const int64_t blocks = p.B * p.K * ceil_div(p.D, kThreads);
  for (int64_t i = 0; i < fit.max_iters && error == cudaSuccess; ++i) {
    error = launch_label_and_add(fit.step, params.converged, stream);
    if (error == cudaSuccess) {
      error = launch(kmeans_update_kernel<scalar_t>, blocks, dim3(kThreads), stream, params);
    }
    params.converged.moves = params.move;
    params.move += p.B;
  }
  if (error == cudaSuccess) error = launch_kmeans_assign(p, stream);
  if (error == cudaSuccess) {
    error = cudaMemsetAsync(fit.step.counts, 0, p.B * p.K * sizeof(int32_t), stream);
  }
  if (error != cudaSuccess) return error;
  return launch(kmeans_count_kernel<scalar_t>, p.B * ceil_div(p.N, kCountTokens), dim3(kThreads),
                stream, params);
}

template cudaError_t launch_kmeans_fit(const KmeansFitParams<float>&, cudaStream_t);
template cudaError_t launch_kmeans_fit(const KmeansFitParams<__half>&, cudaStream_t);
template cudaError_t launch_kmeans_fit(const KmeansFitParams<__nv_bfloat16>&, cudaStream_t);

}  // namespace clusca
