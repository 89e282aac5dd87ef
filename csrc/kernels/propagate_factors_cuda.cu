// CUDA kernel of propagate_factors_; the equation is in propagate_factors.h.
#include "kernels/propagate_factors.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

// A thread reads a packet of order 0 before it writes it, and no other thread touches it.
template <typename scalar_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kTokenBlocks) void propagate_factors_kernel(
    const PropagateFactorsParams<scalar_t> p) {
  const Token token(p);
  if (!token.exists) return;
  const Correction correction(p.clusters, token, p.N, p.D);
  if (!correction.row) return;  // an empty cluster keeps its factors
  scalar_t* out = p.out.row(token.b, token.n);
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += blockDim.x * kVec) {
    float propagated[kVec];
    propagate<kVec>(p.order0, p.clusters, correction, token, d, propagated);
    store<kVec>(out + d, propagated);
  }
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_propagate_factors(const PropagateFactorsParams<scalar_t>& p,
                                     cudaStream_t stream) {
  const cudaError_t error = launch_correction(p.order0, p.clusters, p.B, p.N, p.D, stream);
  if (error != cudaSuccess) return error;
  constexpr int kVec = kPacketSize<scalar_t>;
  return allows_packets<kVec>(p.order0, p.clusters, p.D)
             ? launch_tokens(propagate_factors_kernel<scalar_t, kVec>, kVec, p, stream)
             : launch_tokens(propagate_factors_kernel<scalar_t, 1>, 1, p, stream);
}

template cudaError_t launch_propagate_factors(const PropagateFactorsParams<float>&, cudaStream_t);
template cudaError_t launch_propagate_factors(const PropagateFactorsParams<__half>&, cudaStream_t);
template cudaError_t launch_propagate_factors(const PropagateFactorsParams<__nv_bfloat16>&,
                                              cudaStream_t);

}  // namespace clusca
