// CUDA kernel of taylor_forecast; the equation is in taylor_forecast.h.
#include "kernels/taylor_forecast.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

template <typename scalar_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kTokenBlocks) void taylor_forecast_kernel(
    const TaylorForecastParams<scalar_t> p) {
  const Token token(p);
  if (!token.exists) return;
  scalar_t* out = p.out.row(token.b, token.n);
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += blockDim.x * kVec) {
    float predicted[kVec];
    forecast<kVec>(p.factors, token.b, token.n, d, predicted);
    store<kVec>(out + d, predicted);
  }
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_taylor_forecast(const TaylorForecastParams<scalar_t>& p, cudaStream_t stream) {
  constexpr int kVec = kPacketSize<scalar_t>;
  const bool packets = p.D % kVec == 0 && is_aligned(p.factors) && is_aligned(p.out);
  return packets ? launch_tokens(taylor_forecast_kernel<scalar_t, kVec>, kVec, p, stream)
                 : launch_tokens(taylor_forecast_kernel<scalar_t, 1>, 1, p, stream);
}

template cudaError_t launch_taylor_forecast(const TaylorForecastParams<float>&, cudaStream_t);
template cudaError_t launch_taylor_forecast(const TaylorForecastParams<__half>&, cudaStream_t);
template cudaError_t launch_taylor_forecast(const TaylorForecastParams<__nv_bfloat16>&,
                                            cudaStream_t);

}  // namespace clusca
