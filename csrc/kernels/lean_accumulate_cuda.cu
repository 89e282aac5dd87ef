// CUDA kernel of lean_accumulate_; the equation is in lean_accumulate.h.
#include "kernels/lean_accumulate.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

// accumulator + phi * feature, both packets on their way.
template <int kVec>
__device__ inline void add_product(const InFlight<kVec, float>& accumulator,
                                   const InFlight<kVec, float>& phi, const float (&feature)[kVec],
                                   float* to) {
  float sum[kVec], factor[kVec];
  accumulator.unpack(sum), phi.unpack(factor);
#pragma unroll
  for (int v = 0; v < kVec; ++v) sum[v] += factor[v] * feature[v];
  store<kVec>(to, sum);
}

// What is in flight takes registers, and more where a packet of a half type is two of accumulators.
template <int kVec>
constexpr int kBlocks = kVec > kPacketSize<float> ? 6 : kTokenBlocks;

// A packet of the feature stays in registers while the components pass over it, two at a time.
template <typename f_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kBlocks<kVec>) void lean_accumulate_kernel(
    const LeanAccumulateParams<f_t> p) {
  const Token token(p);
  if (!token.exists) return;
  const f_t* row = p.feature.row(token.b, token.n);
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += blockDim.x * kVec) {
    InFlight<kVec, f_t> packet;
    packet.load(row + d);
    float* accumulator = p.accumulators.row(0, token.b, token.n) + d;
    const float* phi = p.phi.row(0, token.b) + d;
    float feature[kVec];
    for (int64_t c = 0; c < p.C; c += 2) {
      const bool two = c + 1 < p.C;
      float* other = accumulator + p.accumulators.stride;
      InFlight<kVec, float> sum, other_sum, factor, other_factor;
      sum.load(accumulator);
      if (two) other_sum.load(other);
      factor.load(phi);
      if (two) other_factor.load(phi + p.phi.batch_stride);
      if (c == 0) packet.unpack(feature);
      add_product<kVec>(sum, factor, feature, accumulator);
      if (two) add_product<kVec>(other_sum, other_factor, feature, other);
      accumulator += 2 * p.accumulators.stride, phi += 2 * p.phi.batch_stride;
    }
  }
}

}  // namespace

template <typename f_t>
cudaError_t launch_lean_accumulate(const LeanAccumulateParams<f_t>& p, cudaStream_t stream) {
  constexpr int kVec = kPacketSize<f_t>;
  const bool packets =
      p.D % kVec == 0 && is_aligned(p.accumulators) && is_aligned(p.feature) && is_aligned(p.phi);
  return packets ? launch_tokens(lean_accumulate_kernel<f_t, kVec>, kVec, p, stream)
                 : launch_tokens(lean_accumulate_kernel<f_t, 1>, 1, p, stream);
}

template cudaError_t launch_lean_accumulate(const LeanAccumulateParams<float>&, cudaStream_t);
template cudaError_t launch_lean_accumulate(const LeanAccumulateParams<__half>&, cudaStream_t);
template cudaError_t launch_lean_accumulate(const LeanAccumulateParams<__nv_bfloat16>&,
                                            cudaStream_t);

}  // namespace clusca
