// CUDA kernel of collapse_forecasts_; the equation is in collapse_forecasts.h.
#include "kernels/collapse_forecasts.h"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

// A warp takes 32 packets of a row, a block as many for a few tokens: all of a block read the same
// gates, which come from the first cache then. A thread keeps its sums of all steps.
constexpr int kLanes = 32, kRows = kTokenThreads / kLanes;
constexpr int kSumsBlocks = 4;  // a multiprocessor's, at least: 128 registers a thread

template <int kSteps>
constexpr int kTokensEach = 8 / kSteps;  // tokens of a thread: each gate serves all of them

template <typename f_t, int kSteps, int kVec>
__global__ __launch_bounds__(kTokenThreads, kSumsBlocks) void collapse_forecasts_kernel(
    const __grid_constant__ CollapseForecastsParams<f_t> p) {
  constexpr int kTokens = kTokensEach<kSteps>;
  const uint32_t N = static_cast<uint32_t>(p.N), D = static_cast<uint32_t>(p.D);
  const uint32_t pieces = (D + kLanes * kVec - 1) / (kLanes * kVec);
  const uint32_t groups = (N + kRows * kTokens - 1) / (kRows * kTokens);
  const uint32_t d = (blockIdx.x % pieces * kLanes + threadIdx.x) * kVec;
  const uint32_t group = blockIdx.x / pieces;
  const int64_t b = group / groups;
  const uint32_t first = group % groups * (kRows * kTokens) + threadIdx.y;
  if (d >= D) return;
  float sums[kTokens][kSteps][kVec] = {};
  if (p.adds) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        const uint32_t n = first + t * kRows;
        if (s < p.steps && n < N) load<kVec>(p.sums.row(s, b, n) + d, sums[t][s]);
      }
    }
  }
  for (int m = 0; m < p.count; ++m) {
    const Rows gate = p.gate(m);
    for (int i = 0; i < p.orders; i += 2) {
      const bool two = i + 1 < p.orders;
      float factors[kTokens][2][kVec] = {};
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        const uint32_t n = first + t * kRows;
        if (n < N) load<kVec>(p.factor(m, i, b, n) + d, factors[t][0]);
        if (n < N && two) load<kVec>(p.factor(m, i + 1, b, n) + d, factors[t][1]);
      }
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        if (s >= p.steps) continue;
        const float weights[2] = {p.weight(m, s, i), two ? p.weight(m, s, i + 1) : 0.f};
        float gates[kVec];
#pragma unroll
        for (int v = 0; v < kVec; ++v) gates[v] = 1.f;
        if (gate.data) load<kVec>(gate, gate.offset(s, b) + d, gates);
#pragma unroll
        for (int t = 0; t < kTokens; ++t) {
#pragma unroll
          for (int v = 0; v < kVec; ++v) {
            const float sum = weights[0] * factors[t][0][v] + weights[1] * factors[t][1][v];
            sums[t][s][v] += gates[v] * sum;
          }
        }
      }
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const uint32_t n = first + t * kRows;
      if (s < p.steps && n < N) store<kVec>(p.sums.row(s, b, n) + d, sums[t][s]);
    }
  }
}

template <typename f_t, int kSteps, int kVec>
cudaError_t launch_of(const CollapseForecastsParams<f_t>& p, cudaStream_t stream) {
  if (p.B * p.N * p.D == 0) return cudaSuccess;
  const int64_t groups = p.B * ceil_div(p.N, kRows * kTokensEach<kSteps>);
  const int64_t blocks = groups * ceil_div(p.D, kLanes * kVec);
  return launch(collapse_forecasts_kernel<f_t, kSteps, kVec>, blocks, dim3(kLanes, kRows), stream,
                p);
}

template <typename f_t, int kVec>
cudaError_t launch_steps(const CollapseForecastsParams<f_t>& p, cudaStream_t stream) {
  if (p.steps <= 4) return launch_of<f_t, 4, kVec>(p, stream);
  return launch_of<f_t, 8, kVec>(p, stream);
}

}  // namespace

template <typename f_t>
cudaError_t launch_collapse_forecasts(const CollapseForecastsParams<f_t>& p, cudaStream_t stream) {
  static_assert(sizeof(p) <= 4096, "a kernel's parameters");
  constexpr int kVec = kPacketSize<f_t>;
  bool packets = p.D % kVec == 0 && is_aligned(p.sums);
  for (int m = 0; m < p.count; ++m) {
    packets = packets && is_aligned(p.gate(m)) &&
              is_aligned(p.modules[m].factors, sizeof(f_t), p.order_stride, p.batch_stride,
                         p.token_stride);
  }
  return packets ? launch_steps<f_t, kVec>(p, stream) : launch_steps<f_t, 1>(p, stream);
}

#define CLUSCA_INSTANTIATE(f_t) \
  template cudaError_t launch_collapse_forecasts(const CollapseForecastsParams<f_t>&, cudaStream_t);
CLUSCA_INSTANTIATE(float)
CLUSCA_INSTANTIATE(__half)
CLUSCA_INSTANTIATE(__nv_bfloat16)

}  // namespace clusca
