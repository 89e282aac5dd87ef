// CUDA kernel of forecast_residual_; the equation is in forecast_residual.h.
#include "kernels/forecast_residual.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

template <typename x_t, typename f_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kTokenBlocks) void forecast_residual_kernel(
    const ForecastResidualParams<x_t, f_t> p) {
  const Token token(p);
  if (!token.exists) return;
  x_t* x = p.x.row(token.b, token.n);
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += blockDim.x * kVec) {
    add_to_stream<kVec>(x, p.gate, token, d, [&](float (&predicted)[kVec]) {
      forecast<kVec>(p.factors, token.b, token.n, d, predicted);
    });
  }
}

}  // namespace

template <typename x_t, typename f_t>
cudaError_t launch_forecast_residual(const ForecastResidualParams<x_t, f_t>& p,
                                     cudaStream_t stream) {
  constexpr int kVec = kPacketSize<f_t>;
  const bool packets =
      p.D % kVec == 0 && is_aligned(p.x) && is_aligned(p.factors) && is_aligned(p.gate);
  return packets ? launch_tokens(forecast_residual_kernel<x_t, f_t, kVec>, kVec, p, stream)
                 : launch_tokens(forecast_residual_kernel<x_t, f_t, 1>, 1, p, stream);
}

#define CLUSCA_INSTANTIATE(x_t, f_t)                                                     \
  template cudaError_t launch_forecast_residual(const ForecastResidualParams<x_t, f_t>&, \
                                                cudaStream_t);
CLUSCA_INSTANTIATE(float, float)
CLUSCA_INSTANTIATE(float, __half)
CLUSCA_INSTANTIATE(float, __nv_bfloat16)
CLUSCA_INSTANTIATE(__half, __half)
CLUSCA_INSTANTIATE(__nv_bfloat16, __nv_bfloat16)

}  // namespace clusca
