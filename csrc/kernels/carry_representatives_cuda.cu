// CUDA kernel of carry_representatives_; the equation is in carry_representatives.h.
#include "kernels/carry_representatives.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

// One block a representative.
template <typename f_t, int kVec>
__global__ __launch_bounds__(kTokenThreads) void carry_representatives_kernel(
    const CarryRepresentativesParams<f_t> p) {
  const uint32_t K = static_cast<uint32_t>(p.K);
  const int64_t b = blockIdx.x / K, k = blockIdx.x % K;
  const int64_t token = p.representatives.row(b)[k];
  if (token < 0 || token >= p.N) return;
  float *offset = p.offset.row(b, k), *correction = p.correction.row(b, k);
  const Token at(b, token);
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += kTokenThreads * kVec) {
    float update[kVec];
    forecast<kVec>(p.factors, b, token, d, update);
    if (p.computed.data) {
      float computed[kVec], difference[kVec];
      load<kVec>(p.computed, p.computed.offset(b, k) + d, computed);
#pragma unroll
      for (int v = 0; v < kVec; ++v) {
        difference[v] = computed[v] - update[v];
        update[v] = computed[v];
      }
      add_gated<kVec>(correction, p.gate, at, d, difference);
    }
    add_gated<kVec>(offset, p.gate, at, d, update);
  }
}

}  // namespace

template <typename f_t>
cudaError_t launch_carry_representatives(const CarryRepresentativesParams<f_t>& p,
                                         cudaStream_t stream) {
  constexpr int kVec = kPacketSize<f_t>;
  const bool packets = p.D % kVec == 0 && is_aligned(p.offset) && is_aligned(p.correction) &&
                       is_aligned(p.factors) && is_aligned(p.gate) && is_aligned(p.computed);
  const auto kernel =
      packets ? carry_representatives_kernel<f_t, kVec> : carry_representatives_kernel<f_t, 1>;
  return launch(kernel, p.B * p.K, dim3(kTokenThreads), stream, p);
}

template cudaError_t launch_carry_representatives(const CarryRepresentativesParams<float>&,
                                                  cudaStream_t);
template cudaError_t launch_carry_representatives(const CarryRepresentativesParams<__half>&,
                                                  cudaStream_t);
template cudaError_t launch_carry_representatives(const CarryRepresentativesParams<__nv_bfloat16>&,
                                                  cudaStream_t);

}  // namespace clusca
