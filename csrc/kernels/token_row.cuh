// What the CUDA kernels of the token ops share: which thread has which packet of which token, and
// the three things done to a packet: forecast it, correct it, add it to the stream behind its gate.
#pragma once

#include "kernels/clusters.h"
#include "kernels/launch.cuh"
#include "kernels/vec.cuh"

namespace clusca {

constexpr int kTokenThreads = 128;  // D = 3072 bfloat16 is 384 packets: three a thread
constexpr int kTokenBlocks = 8;  // a multiprocessor's, at least: 64 registers a thread, no spills

// A block is x threads along a row and y rows, so that short rows still fill it.
inline dim3 token_block(int64_t D, int vec) {
  unsigned x = 1;
  while (x < kTokenThreads && x * vec < D) x *= 2;
  return dim3(x, kTokenThreads / x);
}

template <typename Params>
cudaError_t launch_tokens(void (*kernel)(Params), int vec, const Params& p, cudaStream_t stream) {
  if (p.B * p.N > UINT32_MAX) return cudaErrorInvalidConfiguration;
  const dim3 block = token_block(p.D, vec);
  return launch(kernel, ceil_div(p.B * p.N, block.y), block, stream, p);
}

struct Token {
  int64_t b, n;
  bool exists;

  __device__ Token(int64_t b, int64_t n) : b(b), n(n), exists(true) {}

  template <typename Params>
  __device__ explicit Token(const Params& p) {
    const uint32_t row = blockIdx.x * blockDim.y + threadIdx.y, N = static_cast<uint32_t>(p.N);
    exists = row < p.B * p.N;
    b = row / N, n = row % N;  // in 64 bits a division is a call
  }
};

// sum += weight * packet
template <int kVec, typename f_t>
__device__ inline void add_weighted(float weight, const InFlight<kVec, f_t>& packet,
                                    float (&sum)[kVec]) {
  float value[kVec];
  packet.unpack(value);
#pragma unroll
  for (int v = 0; v < kVec; ++v) sum[v] += weight * value[v];
}

// sum_i weight_of(i) * packet i, packets order_stride apart.
template <int kVec, typename f_t, typename WeightOf>
__device__ inline void weighted_sum(const f_t* packet, int64_t order_stride, int count,
                                    const WeightOf& weight_of, float (&out)[kVec]) {
#pragma unroll
  for (int v = 0; v < kVec; ++v) out[v] = 0.f;
  // Two at a time are in flight: mostly that is all of them.
  for (int i = 0; i < count; i += 2) {
    const bool two = i + 1 < count;
    InFlight<kVec, f_t> first, second;
    first.load(packet + i * order_stride);
    if (two) second.load(packet + (i + 1) * order_stride);
    add_weighted<kVec>(weight_of(i), first, out);
    if (two) add_weighted<kVec>(weight_of(i + 1), second, out);
  }
}

template <int kVec, typename f_t>
__device__ inline void forecast(const Factors<f_t>& factors, int64_t b, int64_t n, int64_t d,
                                float (&out)[kVec]) {
  const auto weight_of = [&](int i) { return factors.weights.at(b, i); };
  weighted_sum<kVec>(factors.row(0, b, n) + d, factors.order_stride, factors.count, weight_of, out);
}

// What clusters.h says of one token, looked up once.
struct Correction {
  bool is_representative;
  const float* row;  // null: an empty cluster, the forecast stays
  float keep;
  int64_t computed_offset;

  __device__ Correction(const Clusters& clusters, const Token& token, int64_t N, int64_t D) {
    const int64_t k = clusters.cluster(token.b, token.n, N);
    is_representative = k >= 0 && clusters.representatives.row(token.b)[k] == token.n;
    row = k >= 0 ? clusters.correction_row(token.b, k, D) : nullptr;
    keep = clusters.keep();
    computed_offset = k >= 0 ? clusters.computed.offset(token.b, k) : 0;
  }
};

// M of clusters.h for a packet.
template <int kVec, typename f_t>
__device__ inline void propagate(const Factors<f_t>& factors, const Clusters& clusters,
                                 const Correction& correction, const Token& token, int64_t d,
                                 float (&out)[kVec]) {
  if (correction.is_representative) {
    load<kVec>(clusters.computed, correction.computed_offset + d, out);
    return;
  }
  InFlight<kVec, float> row;
  if (correction.row) row.load(correction.row + d);
  forecast<kVec>(factors, token.b, token.n, d, out);
  if (!correction.row) return;
  float added[kVec];
  row.unpack(added);
#pragma unroll
  for (int v = 0; v < kVec; ++v) out[v] = correction.keep * out[v] + added[v];
}

// A packet of a gate, on its way; without a gate it is 1.
template <int kVec>
__device__ inline OptionalRowInFlight<kVec> begin_gate(const Rows& gate, const Token& token,
                                                       int64_t d) {
  return {gate, gate.offset(token.b, token.n) + d, 1.f};
}

// sum += gate * update
template <int kVec>
__device__ inline void add_gated(const OptionalRowInFlight<kVec>& gate, const float (&update)[kVec],
                                 float (&sum)[kVec]) {
  float factor[kVec];
  gate.unpack(factor);
#pragma unroll
  for (int v = 0; v < kVec; ++v) sum[v] += factor[v] * update[v];
}

// x += gate * update, of which update_of(update) begins its loads after those of x and gate.
template <int kVec, typename x_t, typename UpdateOf>
__device__ inline void add_to_stream(x_t* x, const Rows& gate, const Token& token, int64_t d,
                                     const UpdateOf& update_of) {
  InFlight<kVec, x_t> stream;
  stream.load(x + d);
  const auto factor = begin_gate<kVec>(gate, token, d);
  float update[kVec], sum[kVec];
  update_of(update);
  stream.unpack(sum);
  add_gated<kVec>(factor, update, sum);
  store<kVec>(x + d, sum);
}

// The first kernel of the propagating ops: clusters.h's correction, a row a cluster.
template <typename f_t>
struct CorrectionParams {
  Factors<f_t> factors;
  Clusters clusters;
  int64_t B, N, D;
};

template <typename f_t>
__global__ __launch_bounds__(kTokenThreads,
                             kTokenBlocks) void correction_kernel(const CorrectionParams<f_t> p) {
  const uint32_t K = static_cast<uint32_t>(p.clusters.K);
  const int64_t b = blockIdx.x / K, k = blockIdx.x % K;
  const int64_t token = p.clusters.representative(b, k, p.N);
  if (token < 0) return;
  const float gamma = p.clusters.gamma.get();
  float* row = p.clusters.correction_row(b, k, p.D);
  for (int64_t d = threadIdx.x; d < p.D; d += kTokenThreads) {
    float computed[1], predicted[1];
    load<1>(p.clusters.computed, p.clusters.computed.offset(b, k) + d, computed);
    if (p.clusters.rule == Rule::kDelta) {
      forecast<1>(p.factors, b, token, d, predicted);
      computed[0] -= predicted[0];
    }
    row[d] = gamma * computed[0];
  }
}

template <typename f_t>
cudaError_t launch_correction(const Factors<f_t>& factors, const Clusters& clusters, int64_t B,
                              int64_t N, int64_t D, cudaStream_t stream) {
  if (N == 0) return cudaSuccess;
  const CorrectionParams<f_t> p{factors, clusters, B, N, D};
  return launch(correction_kernel<f_t>, B * clusters.K, dim3(kTokenThreads), stream, p);
}

// Whether the rows a propagating kernel touches allow 128-bit packets of kVec elements.
template <int kVec, typename f_t>
bool allows_packets(const Factors<f_t>& factors, const Clusters& clusters, int64_t D) {
  return D % kVec == 0 && is_aligned(factors) && is_aligned(clusters.computed) &&
         is_aligned(clusters.correction, sizeof(float));
}

}  // namespace clusca
