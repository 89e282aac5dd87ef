// CUDA kernel of gather_representatives; the equation is in gather_representatives.h.
#include "kernels/gather_representatives.h"
#include "kernels/launch.cuh"
#include "kernels/modulation.cuh"
#include "kernels/reduce.cuh"
#include "kernels/vec.cuh"

namespace clusca {
namespace {

constexpr int kThreads = 256;  // K rows are few: more threads a row shorten its latency

// A packet of a token's row, moved by its offset; null: there is none.
template <int kVec, typename scalar_t>
__device__ inline void load_moved(const scalar_t* row, const float* offset, int64_t d,
                                  float (&value)[kVec]) {
  InFlight<kVec, scalar_t> packet;
  InFlight<kVec, float> moved;
  packet.load(row + d);
  if (offset) moved.load(offset + d);
  packet.unpack(value);
  if (!offset) return;
  float by[kVec];
  moved.unpack(by);
#pragma unroll
  for (int v = 0; v < kVec; ++v) value[v] += by[v];
}

// Sum of (row - center)^power for power 1 or 2 over the block's row.
template <int kPower, int kVec, typename scalar_t>
__device__ inline float centered_sum(const scalar_t* row, const float* offset, float center,
                                     int64_t D, float* scratch) {
  float sum = 0.f;
  for (int64_t d = threadIdx.x * kVec; d < D; d += kThreads * kVec) {
    float value[kVec];
    load_moved<kVec>(row, offset, d, value);
#pragma unroll
    for (int v = 0; v < kVec; ++v) {
      const float difference = value[v] - center;
      sum += kPower == 2 ? difference * difference : difference;
    }
  }
  return block_sum<kThreads>(sum, scratch);
}

// One block a representative. Its row is read three times, twice from cache.
template <typename scalar_t, int kVec>
__global__ __launch_bounds__(kThreads) void gather_representatives_kernel(
    const GatherRepresentativesParams<scalar_t> p) {
  __shared__ float scratch[kThreads / 32];
  const int64_t b = blockIdx.x / p.K, k = blockIdx.x % p.K;
  scalar_t* rows = p.rows + (b * p.K + k) * p.D;
  scalar_t* modulated = p.modulated + (b * p.K + k) * p.D;
  const int64_t token = p.representatives.row(b)[k];
  if (token < 0 || token >= p.N) {
    const float zeros[kVec] = {};
    for (int64_t d = threadIdx.x * kVec; d < p.D; d += kThreads * kVec) {
      store<kVec>(rows + d, zeros);
      store<kVec>(modulated + d, zeros);
    }
    return;
  }
  const scalar_t* row = p.tokens.row(b, token);
  const float* offset = p.offset.data ? p.offset.row(b, k) : nullptr;
  const float count = static_cast<float>(p.D);
  float mean = 0.f, factor = 1.f;
  if (p.norm == Norm::kLayer) mean = centered_sum<1, kVec>(row, offset, 0.f, p.D, scratch) / count;
  if (p.norm != Norm::kNone) {
    factor = 1.f / sqrtf(centered_sum<2, kVec>(row, offset, mean, p.D, scratch) / count + p.eps);
  }
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += kThreads * kVec) {
    const ModulationInFlight<kVec> modulation(p, b, token, d);
    float value[kVec];
    load_moved<kVec>(row, offset, d, value);
    store<kVec>(rows + d, value);
    modulation.apply(mean, factor, value);
    store<kVec>(modulated + d, value);
  }
}

}  // namespace

template <typename scalar_t>
cudaError_t launch_gather_representatives(const GatherRepresentativesParams<scalar_t>& p,
                                          cudaStream_t stream) {
  constexpr int kVec = kPacketSize<scalar_t>;
  const bool packets = p.D % kVec == 0 && is_aligned(p.tokens) && is_aligned(p.shift) &&
                       is_aligned(p.scale) && is_aligned(p.weight) && is_aligned(p.bias) &&
                       is_aligned(p.offset);
  const auto kernel = packets ? gather_representatives_kernel<scalar_t, kVec>
                              : gather_representatives_kernel<scalar_t, 1>;
  return launch(kernel, p.B * p.K, dim3(kThreads), stream, p);
}

template cudaError_t launch_gather_representatives(const GatherRepresentativesParams<float>&,
                                                   cudaStream_t);
template cudaError_t launch_gather_representatives(const GatherRepresentativesParams<__half>&,
                                                   cudaStream_t);
template cudaError_t launch_gather_representatives(
    const GatherRepresentativesParams<__nv_bfloat16>&, cudaStream_t);

}  // namespace clusca
