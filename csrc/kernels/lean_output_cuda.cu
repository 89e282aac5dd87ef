// CUDA kernels of lean_output; the equation is in lean_output.h.
#include "kernels/lean_output.h"

#include <algorithm>

#include "kernels/dynamic_shared.cuh"
#include "kernels/modulation.cuh"
#include "kernels/reduce.cuh"
#include "kernels/token_row.cuh"

namespace clusca {
namespace {

// A multiprocessor's blocks, at least: what is in flight takes registers, more where a packet of a
// half stream is two of float32 sums, and what modulates as many.
template <typename s_t, int kVec>
constexpr int kOutputBlocks = kVec > kPacketSize<s_t> ? 5 : 6;
constexpr int kNormBlocks = 5;

// A token's y, a packet at a time.
template <typename x_t, typename s_t, int kVec>
class LeanToken {
 public:
  const Token token;

  __device__ LeanToken(const LeanOutputParams<x_t, s_t>& p, const Token& token)
      : token(token),
        p_(p),
        begin_(weights_of(0)),
        k_(p.clusters.computed.data ? p.clusters.cluster(token.b, token.n, p.N) : -1),
        share_(k_ >= 0 ? p.clusters.share(token.b, token.n, k_) : 0.f) {}

  // Sums are in flight two at a time, the first with x and what the token learns.
  __device__ void packet(int64_t d, float (&y)[kVec]) const {
    InFlight<kVec, x_t> stream;
    stream.load(p_.x.row(token.b, token.n) + d);
    InFlight<kVec, float> learnt;
    if (k_ >= 0) {
      const Rows& rows = p_.clusters.computed;
      learnt.load(static_cast<const float*>(rows.data) + rows.offset(token.b, k_) + d);
    }
    const s_t* sums = p_.sums.row(0, token.b, token.n) + d;
    Pair weights = begin_;
    for (int64_t j = 0; j < p_.J; j += 2, sums += 2 * p_.sums.stride) {
      InFlight<kVec, s_t> first, second;
      if (weights.first != 0.f) first.load(sums);
      if (weights.second != 0.f) second.load(sums + p_.sums.stride);
      const Pair next = weights_of(j + 2);
      if (j == 0) stream.unpack(y);
      if (weights.first != 0.f) add(j, weights.first, d, first, y);
      if (weights.second != 0.f) add(j + 1, weights.second, d, second, y);
      weights = next;
    }
    if (k_ >= 0) add_weighted<kVec>(share_, learnt, y);
  }

 private:
  struct Pair {
    float first, second;
  };

  // Of sums j and j + 1, known before these are asked for; by channel 1 stands for their weights.
  __device__ Pair weights_of(int64_t j) const {
    const bool one = j < p_.J, two = j + 1 < p_.J;
    if (p_.weights.by_channel) return {one ? 1.f : 0.f, two ? 1.f : 0.f};
    return {one ? *p_.weights.at(j, token.b) : 0.f, two ? *p_.weights.at(j + 1, token.b) : 0.f};
  }

  __device__ void add(int64_t j, float weight, int64_t d, const InFlight<kVec, s_t>& packet,
                      float (&y)[kVec]) const {
    if (!p_.weights.by_channel) return add_weighted<kVec>(weight, packet, y);
    float weights[kVec], value[kVec];
    load<kVec>(p_.weights.at(j, token.b) + d, weights);
    packet.unpack(value);
#pragma unroll
    for (int v = 0; v < kVec; ++v) y[v] += weights[v] * value[v];
  }

  const LeanOutputParams<x_t, s_t>& p_;
  const Pair begin_;
  const int64_t k_;  // of its cluster; -1: it learns nothing
  const float share_;
};

template <typename x_t, typename s_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kOutputBlocks<s_t, kVec>) void lean_output_kernel(
    const __grid_constant__ LeanOutputParams<x_t, s_t> p) {
  const Token token(p);
  if (!token.exists) return;
  const LeanToken<x_t, s_t, kVec> lean(p, token);
  x_t* out = p.out_row(token.b, token.n);
  for (int64_t d = threadIdx.x * kVec; d < p.D; d += blockDim.x * kVec) {
    float y[kVec];
    lean.packet(d, y);
    store<kVec>(out + d, y);
  }
}

// One block a token, whose row stays in shared memory: what memory has is read once. A thread reads
// there what it has written itself.
template <typename x_t, typename s_t, int kVec>
__global__ __launch_bounds__(kTokenThreads, kNormBlocks) void lean_norm_kernel(
    const __grid_constant__ LeanOutputParams<x_t, s_t> p) {
  __shared__ float scratch[kTokenThreads / 32];
  float* row = reinterpret_cast<float*>(dynamic_shared());
  const uint32_t N = static_cast<uint32_t>(p.N);
  const LeanToken<x_t, s_t, kVec> lean(p, Token(blockIdx.x / N, blockIdx.x % N));
  constexpr int kStride = kTokenThreads * kVec;
  const int begin = threadIdx.x * kVec, D = static_cast<int>(p.D);
  float sum = 0.f;
  for (int d = begin; d < D; d += kStride) {
    float y[kVec];
    lean.packet(d, y);
    store<kVec>(row + d, y);
#pragma unroll
    for (int v = 0; v < kVec; ++v) sum += y[v];
  }
  const float count = static_cast<float>(D);
  float mean = 0.f, factor = 1.f;
  if (p.norm == Norm::kLayer) mean = block_sum<kTokenThreads>(sum, scratch) / count;
  if (p.norm != Norm::kNone) {
    sum = 0.f;
    for (int d = begin; d < D; d += kStride) {
      float y[kVec];
      load<kVec>(row + d, y);
#pragma unroll
      for (int v = 0; v < kVec; ++v) sum += (y[v] - mean) * (y[v] - mean);
    }
    factor = 1.f / sqrtf(block_sum<kTokenThreads>(sum, scratch) / count + p.eps);
  }
  x_t* out = p.out_row(lean.token.b, lean.token.n);
  for (int d = begin; d < D; d += kStride) {
    const ModulationInFlight<kVec> modulation(p, lean.token.b, lean.token.n, d);
    float y[kVec];
    load<kVec>(row + d, y);
    modulation.apply(mean, factor, y);
    store<kVec>(out + d, y);
  }
}

template <typename x_t, typename s_t, int kVec>
cudaError_t launch_of(const LeanOutputParams<x_t, s_t>& p, cudaStream_t stream) {
  if (!p.follows()) return launch_tokens(lean_output_kernel<x_t, s_t, kVec>, kVec, p, stream);
  LaunchOptions options;
  options.shared_bytes = static_cast<int>(p.D * sizeof(float));
  return launch(lean_norm_kernel<x_t, s_t, kVec>, p.B * p.N, dim3(kTokenThreads), stream, p,
                options);
}

}  // namespace

template <typename x_t, typename s_t>
cudaError_t launch_lean_output(const LeanOutputParams<x_t, s_t>& p, cudaStream_t stream) {
  constexpr int kVec = std::max(kPacketSize<x_t>, kPacketSize<s_t>);  // packets of both
  const LeanWeights& weights = p.weights;
  const bool packets =
      p.D % kVec == 0 && is_aligned(p.x) && is_aligned(p.sums) && is_aligned(p.clusters.computed) &&
      is_aligned(p.shift) && is_aligned(p.scale) && is_aligned(p.weight) && is_aligned(p.bias) &&
      (!weights.by_channel ||
       is_aligned(weights.data, sizeof(float), weights.stride, weights.batch_stride));
  return packets ? launch_of<x_t, s_t, kVec>(p, stream) : launch_of<x_t, s_t, 1>(p, stream);
}

#define CLUSCA_INSTANTIATE(x_t, s_t) \
  template cudaError_t launch_lean_output(const LeanOutputParams<x_t, s_t>&, cudaStream_t);
CLUSCA_INSTANTIATE(float, float)
CLUSCA_INSTANTIATE(float, __half)
CLUSCA_INSTANTIATE(float, __nv_bfloat16)
CLUSCA_INSTANTIATE(__half, float)
CLUSCA_INSTANTIATE(__half, __half)
CLUSCA_INSTANTIATE(__nv_bfloat16, float)
CLUSCA_INSTANTIATE(__nv_bfloat16, __nv_bfloat16)

}  // namespace clusca
