// CUDA kernel of collapsed_residual; the equation is in collapsed_residual.h.
#include "kernels/collapsed_residual.h"

#include <algorithm>

#include "kernels/token_row.cuh"

namespace clusca {
namespace {

// What is in flight takes registers, and more where a packet of a half stream is two of float32
// factors.
template <typename f_t, int kVec>
constexpr int kBlocks = kVec > kPacketSize<f_t> ? 4 : 6;

template <typename x_t, typename f_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kBlocks<f_t, kVec>) void collapsed_residual_kernel(
    const __grid_constant__ CollapsedResidualParams<x_t, f_t> p) {
  const Token token(p);
  if (!token.exists) return;
  const Clusters& clusters = p.clusters;
  const int64_t k = clusters.computed.data ? clusters.cluster(token.b, token.n, p.N) : -1;
  const float share = k >= 0 ? clusters.share(token.b, token.n, k) : 0.f;
  const x_t* x = p.x.row(token.b, token.n);
  x_t* out = p.out.row(token.b, token.n);
  const int64_t like = token.b * p.like.batch_stride + token.n * p.like.token_stride;
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += blockDim.x * kVec) {
    InFlight<kVec, x_t> stream;
    stream.load(x + d);
    RowInFlight<kVec> computed;
    if (k >= 0) computed.load(clusters.computed, clusters.computed.offset(token.b, k) + d);
    float sum[kVec], predicted[kVec];
    if (p.count == 0) stream.unpack(sum);
    for (int m = 0; m < p.count; ++m) {
      // Where they lie: a copy of values that are indexed would be local memory.
      const CollapsedModule& module = p.modules[m];
      const float* own = module.weights;
      if (own) own += token.b * module.weights_batch_stride;
      const auto weight_of = [&](int i) { return own ? own[i] : p.like.weights.values[i]; };
      const auto gate = begin_gate<kVec>(p.gate(m), token, d);
      const f_t* packet = static_cast<const f_t*>(module.factors) + like + d;
      weighted_sum<kVec>(packet, p.like.order_stride, p.like.count, weight_of, predicted);
      if (m == 0) stream.unpack(sum);
      add_gated<kVec>(gate, predicted, sum);
    }
    if (k >= 0) {
      computed.unpack(clusters.computed.dtype, predicted);
#pragma unroll
      for (int v = 0; v < kVec; ++v) sum[v] += share * predicted[v];
    }
    store<kVec>(out + d, sum);
  }
}

}  // namespace

template <typename x_t, typename f_t>
cudaError_t launch_collapsed_residual(const CollapsedResidualParams<x_t, f_t>& p,
                                      cudaStream_t stream) {
  static_assert(sizeof(p) <= 4096, "a kernel's parameters");
  constexpr int kVec = std::max(kPacketSize<x_t>, kPacketSize<f_t>);  // packets of both
  bool packets =
      p.D % kVec == 0 && is_aligned(p.x) && is_aligned(p.out) && is_aligned(p.clusters.computed);
  for (int m = 0; m < p.count; ++m) {
    packets = packets && is_aligned(p.factors(m)) && is_aligned(p.gate(m));
  }
  return packets ? launch_tokens(collapsed_residual_kernel<x_t, f_t, kVec>, kVec, p, stream)
                 : launch_tokens(collapsed_residual_kernel<x_t, f_t, 1>, 1, p, stream);
}

#define CLUSCA_INSTANTIATE(x_t, f_t)                                                       \
  template cudaError_t launch_collapsed_residual(const CollapsedResidualParams<x_t, f_t>&, \
                                                 cudaStream_t);
CLUSCA_INSTANTIATE(float, float)
CLUSCA_INSTANTIATE(float, __half)
CLUSCA_INSTANTIATE(float, __nv_bfloat16)
CLUSCA_INSTANTIATE(__half, float)
CLUSCA_INSTANTIATE(__half, __half)
CLUSCA_INSTANTIATE(__nv_bfloat16, float)
CLUSCA_INSTANTIATE(__nv_bfloat16, __nv_bfloat16)

}  // namespace clusca
