// CUDA kernel of cluster_propagate; the equation is in cluster_propagate.h.
#include "kernels/cluster_propagate.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

template <typename scalar_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kTokenBlocks) void cluster_propagate_kernel(
    const ClusterPropagateParams<scalar_t> p) {
  const Token token(p);
  if (!token.exists) return;
  const Correction correction(p.clusters, token, p.N, p.D);
  scalar_t* out = p.out.row(token.b, token.n);
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += blockDim.x * kVec) {
    float propagated[kVec];
    propagate<kVec>(p.forecast, p.clusters, correction, token, d, propagated);
    store<kVec>(out + d, propagated);
  }
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_cluster_propagate(const ClusterPropagateParams<scalar_t>& p,
                                     cudaStream_t stream) {
  const cudaError_t error = launch_correction(p.forecast, p.clusters, p.B, p.N, p.D, stream);
  if (error != cudaSuccess) return error;
  constexpr int kVec = kPacketSize<scalar_t>;
  const bool packets = allows_packets<kVec>(p.forecast, p.clusters, p.D) && is_aligned(p.out);
  return packets ? launch_tokens(cluster_propagate_kernel<scalar_t, kVec>, kVec, p, stream)
                 : launch_tokens(cluster_propagate_kernel<scalar_t, 1>, 1, p, stream);
}

template cudaError_t launch_cluster_propagate(const ClusterPropagateParams<float>&, cudaStream_t);
template cudaError_t launch_cluster_propagate(const ClusterPropagateParams<__half>&, cudaStream_t);
template cudaError_t launch_cluster_propagate(const ClusterPropagateParams<__nv_bfloat16>&,
                                              cudaStream_t);

}  // namespace clusca
