// CUDA kernel of carry_representatives_; the equation is in carry_representatives.h.
#include "kernels/carry_representatives.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

constexpr int kThreads = 512;  // K rows are few: a row of D = 3072 in one go

// One block a representative.
template <typename f_t, int kVec>
__global__ __launch_bounds__(kThreads) void carry_representatives_kernel(
    const CarryRepresentativesParams<f_t> p) {
  const uint32_t K = static_cast<uint32_t>(p.K);
  const int64_t b = blockIdx.x / K, k = blockIdx.x % K;
  const int64_t token = p.representatives.row(b)[k];
  if (token < 0 || token >= p.N) return;
  float *offset = p.offset.row(b, k), *correction = p.correction.row(b, k);
  const Token at(b, token);
  const bool is_computed = p.computed.data != nullptr;
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += kThreads * kVec) {
    const auto gate = begin_gate<kVec>(p.gate, at, d);
    const OptionalRowInFlight<kVec> row(p.computed, p.computed.offset(b, k) + d, 0.f);
    InFlight<kVec, float> old_offset, old_correction;
    old_offset.load(offset + d);
    if (is_computed) old_correction.load(correction + d);
    float update[kVec], sum[kVec];
    forecast<kVec>(p.factors, b, token, d, update);
    if (is_computed) {
      float computed[kVec], difference[kVec];
      row.unpack(computed);
#pragma unroll
      for (int v = 0; v < kVec; ++v) {
        difference[v] = computed[v] - update[v];
        update[v] = computed[v];
      }
      old_correction.unpack(sum);
      add_gated<kVec>(gate, difference, sum);
      store<kVec>(correction + d, sum);
    }
    old_offset.unpack(sum);
    add_gated<kVec>(gate, update, sum);
    store<kVec>(offset + d, sum);
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
  return launch(kernel, p.B * p.K, dim3(kThreads), stream, p);
}

template cudaError_t launch_carry_representatives(const CarryRepresentativesParams<float>&,
                                                  cudaStream_t);
template cudaError_t launch_carry_representatives(const CarryRepresentativesParams<__half>&,
                                                  cudaStream_t);
template cudaError_t launch_carry_representatives(const CarryRepresentativesParams<__nv_bfloat16>&,
                                                  cudaStream_t);

}  // namespace clusca
