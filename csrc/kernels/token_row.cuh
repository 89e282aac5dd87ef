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

// sum_i weight_of(i) * packet i, packets order_stride apart.
template <int kVec, typename f_t, typename WeightOf>
__device__ inline void weighted_sum(const f_t* packet, int64_t order_stride, int count,
                                    const WeightOf& weight_of, float (&out)[kVec]) {
#pragma unroll
  for (int v = 0; v < kVec; ++v) out[v] = 0.f;
  for (int i = 0; i < count; ++i) {
    const float weight = weight_of(i);
    float factor[kVec];
    load<kVec>(packet + i * order_stride, factor);
#pragma unroll
    for (int v = 0; v < kVec; ++v) out[v] += weight * factor[v];
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
  forecast<kVec>(factors, token.b, token.n, d, out);
  if (!correction.row) return;
  float added[kVec];
  load<kVec>(correction.row + d, added);
#pragma unroll
  for (int v = 0; v < kVec; ++v) out[v] = correction.keep * out[v] + added[v];
}

// sum += gate * update
template <int kVec>
__device__ inline void gated_sum(float (&sum)[kVec], const Rows& gate, const Token& token,
                                 int64_t d, const float (&update)[kVec]) {
  float factor[kVec];
  if (gate.data) {
    load<kVec>(gate, gate.offset(token.b, token.n) + d, factor);
  } else {
#pragma unroll
    for (int v = 0; v < kVec; ++v) factor[v] = 1.f;
  }
#pragma unroll
  for (int v = 0; v < kVec; ++v) sum[v] += factor[v] * update[v];
}

// x += gate * update
template <int kVec, typename x_t>
__device__ inline void add_gated(x_t* x, const Rows& gate, const Token& token, int64_t d,
                                 const float (&update)[kVec]) {
  float stream[kVec];
  load<kVec>(x + d, stream);
  gated_sum<kVec>(stream, gate, token, d, update);
  store<kVec>(x + d, stream);
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
