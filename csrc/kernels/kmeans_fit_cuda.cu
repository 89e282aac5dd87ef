// CUDA kernels of kmeans_fit; the algorithm is in kmeans_fit.h.
#include "kernels/kmeans.cuh"
#include "kernels/kmeans_fit.h"
#include "kernels/reduce.cuh"
#include "kernels/vec.cuh"

namespace clusca {
namespace {

constexpr int kThreads = 128;

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
// serves two batch rows.
template <typename scalar_t>
__global__ __launch_bounds__(kThreads) void kmeans_update_kernel(const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.fit.step.assign;
  const int64_t blocks = (p.K * p.D + kThreads - 1) / kThreads;
  const int64_t b = blockIdx.x / blocks, i = blockIdx.x % blocks * kThreads + threadIdx.x;
  if (params.converged.has(b)) return;
  float change = 0.f, largest = 0.f;
  if (i < p.K * p.D) {
    const int64_t k = i / p.D, d = i % p.D;
    int32_t count;
    const float sum = add_chunks(params.fit.step, params.chunks, b, k, d, &count);
    float* centroid = params.fit.centroids + b * p.K * p.D + i;
    const float now = count > 0 ? sum / static_cast<float>(count) : *centroid;
    if (is_finite(now)) change = fabsf(now - *centroid), largest = fabsf(now);
    *centroid = now;
    if (i == 0) ++params.fit.iterations[b];
  }
  change = warp_max(change), largest = warp_max(largest);
  if (threadIdx.x % 32 != 0) return;
  atomic_max(&params.move[b].change, change);
  atomic_max(&params.move[b].largest, largest);
}

// One block a batch row: how many tokens each cluster of the returned labels has.
template <typename scalar_t>
__global__ __launch_bounds__(kThreads) void kmeans_count_kernel(const Params<scalar_t> params) {
  const KmeansAssignParams<scalar_t>& p = params.fit.step.assign;
  const int64_t b = blockIdx.x;
  int32_t* counts = params.fit.step.counts + b * p.K;
  for (int64_t k = threadIdx.x; k < p.K; k += kThreads) counts[k] = 0;
  __syncthreads();
  for (int64_t n = b * p.N + threadIdx.x; n < (b + 1) * p.N; n += kThreads) {
    if (is_finite(p.distances[n])) atomicAdd(&counts[p.cluster_ids[n]], 1);
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
  const int64_t blocks = p.B * ceil_div(p.K * p.D, kThreads);
  for (int64_t i = 0; i < fit.max_iters && error == cudaSuccess; ++i) {
    error = launch_label_and_add(fit.step, params.converged, stream);
    if (error == cudaSuccess) {
      error = launch(kmeans_update_kernel<scalar_t>, blocks, dim3(kThreads), stream, params);
    }
    params.converged.moves = params.move;
    params.move += p.B;
  }
  if (error == cudaSuccess) error = launch_kmeans_assign(p, stream);
  if (error != cudaSuccess) return error;
  return launch(kmeans_count_kernel<scalar_t>, p.B, dim3(kThreads), stream, params);
}

template cudaError_t launch_kmeans_fit(const KmeansFitParams<float>&, cudaStream_t);
template cudaError_t launch_kmeans_fit(const KmeansFitParams<__half>&, cudaStream_t);
template cudaError_t launch_kmeans_fit(const KmeansFitParams<__nv_bfloat16>&, cudaStream_t);

}  // namespace clusca
