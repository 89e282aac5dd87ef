// CUDA kernel of propagate_residual_; the equation is in propagate_residual.h.
#include "kernels/propagate_residual.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

constexpr int kBlocks = 6;  // a multiprocessor's, at least: what is in flight takes registers

template <typename x_t, typename f_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kBlocks) void propagate_residual_kernel(
    const PropagateResidualParams<x_t, f_t> p) {
  const Token token(p);
  if (!token.exists) return;
  const Correction correction(p.clusters, token, p.N, p.D);
  x_t* x = p.x.row(token.b, token.n);
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += blockDim.x * kVec) {
    add_to_stream<kVec>(x, p.gate, token, d, [&](float (&propagated)[kVec]) {
      propagate<kVec>(p.factors, p.clusters, correction, token, d, propagated);
    });
  }
}

}  // namespace

template <typename x_t, typename f_t>
cudaError_t launch_propagate_residual(const PropagateResidualParams<x_t, f_t>& p,
                                      cudaStream_t stream) {
  const cudaError_t error = launch_correction(p.factors, p.clusters, p.B, p.N, p.D, stream);
  if (error != cudaSuccess) return error;
  constexpr int kVec = kPacketSize<f_t>;
  const bool packets =
      allows_packets<kVec>(p.factors, p.clusters, p.D) && is_aligned(p.x) && is_aligned(p.gate);
  return packets ? launch_tokens(propagate_residual_kernel<x_t, f_t, kVec>, kVec, p, stream)
                 : launch_tokens(propagate_residual_kernel<x_t, f_t, 1>, 1, p, stream);
}

#define CLUSCA_INSTANTIATE(x_t, f_t)                                                       \
  template cudaError_t launch_propagate_residual(const PropagateResidualParams<x_t, f_t>&, \
                                                 cudaStream_t);
CLUSCA_INSTANTIATE(float, float)
CLUSCA_INSTANTIATE(float, __half)
CLUSCA_INSTANTIATE(float, __nv_bfloat16)
CLUSCA_INSTANTIATE(__half, __half)
CLUSCA_INSTANTIATE(__nv_bfloat16, __nv_bfloat16)

}  // namespace clusca
