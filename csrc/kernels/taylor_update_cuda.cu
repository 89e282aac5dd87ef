// CUDA kernel of taylor_update_; the equation is in taylor_update.h.
#include "kernels/taylor_update.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

template <typename f_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kTokenBlocks) void taylor_update_kernel(
    const TaylorUpdateParams<f_t> p) {
  const Token token(p);
  if (!token.exists) return;
  f_t* row = p.factors + token.b * p.batch_stride + token.n * p.token_stride;
  const int64_t feature = p.feature.offset(token.b, token.n);
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += blockDim.x * kVec) {
    RowInFlight<kVec> newest;
    newest.load(p.feature, feature + d);
    f_t* factor = row + d;
    InFlight<kVec, f_t> old;
    float rate = p.rate(0);
    if (rate != 0.f) old.load(factor);
    float difference[kVec];
    newest.unpack(p.feature.dtype, difference);
    for (int i = 0; i < p.orders; ++i, factor += p.order_stride) {
      // The next order's old values are on their way before this order's are written.
      InFlight<kVec, f_t> next;
      const float next_rate = p.rate(i + 1);
      if (next_rate != 0.f) next.load(factor + p.order_stride);
      store<kVec>(factor, difference);
      float value[kVec] = {};
      if (rate != 0.f) old.unpack(value);
#pragma unroll
      for (int v = 0; v < kVec; ++v) {
        difference[v] = rate != 0.f ? (difference[v] - value[v]) * rate : 0.f;
      }
      old = next, rate = next_rate;
    }
  }
}

}  // namespace

template <typename f_t>
cudaError_t launch_taylor_update(const TaylorUpdateParams<f_t>& p, cudaStream_t stream) {
  constexpr int kVec = kPacketSize<f_t>;
  const bool packets =
      p.D % kVec == 0 && is_aligned(p.feature) &&
      is_aligned(p.factors, sizeof(f_t), p.order_stride, p.batch_stride, p.token_stride);
  return packets ? launch_tokens(taylor_update_kernel<f_t, kVec>, kVec, p, stream)
                 : launch_tokens(taylor_update_kernel<f_t, 1>, 1, p, stream);
}

template cudaError_t launch_taylor_update(const TaylorUpdateParams<float>&, cudaStream_t);
template cudaError_t launch_taylor_update(const TaylorUpdateParams<__half>&, cudaStream_t);
template cudaError_t launch_taylor_update(const TaylorUpdateParams<__nv_bfloat16>&, cudaStream_t);

}  // namespace clusca
