// The one loop of the CPU's token ops: forecast a row, correct it, store it or add it to the
// stream.
//
//   M   = keep * sum_i weights_i * factors_i + correction      the cluster's row
//   out = M                                                    kStore
//   out = out + gate * M                                       kAdd
//
// Everything a row needs is read once and its result written once; float32 inside.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/clusters.h"
#include "kernels/simd.h"

namespace clusca {

enum class Into { kStore, kAdd };

template <typename f_t>
struct RowInput {
  const f_t* factors[Weights::kMaxFactors];
  float weights[Weights::kMaxFactors];
  int count;
  float keep;
  const float* correction;  // [D], or null
  const float* gate;        // [D], read by kAdd only
};

// kCount is how many factors there are, known to the compiler: the inner loop unrolls and the outer
// one becomes vector code. out may be factors[0].
template <int kCount, bool kCorrected, Into kInto, typename out_t, typename f_t>
CLUSCA_CLONES void write_row_of(out_t* out, const RowInput<f_t>& in, int64_t D) {
  const f_t* factors[kCount];
  float weights[kCount];
  for (int i = 0; i < kCount; ++i) factors[i] = in.factors[i], weights[i] = in.weights[i];
  const float keep = in.keep;
  const float *correction = in.correction, *gate = in.gate;
  for (int64_t first = 0; first < D; first += kBlock) {
    const int64_t last = std::min(first + kBlock, D);
    prefetch_next_to_write(out + first);
    // As many lines as can be under way at once: of more, prefetchers that see the rows do better.
    const int ahead = kCount * sizeof(f_t) <= 12 ? kCount : 1;
    for (int i = 0; i < ahead; ++i) prefetch_next(factors[i] + first);
#pragma GCC ivdep
    for (int64_t d = first; d < last; ++d) {
      float m = weights[0] * to_float(factors[0][d]);
#pragma GCC unroll 5
      for (int i = 1; i < kCount; ++i) m += weights[i] * to_float(factors[i][d]);
      if constexpr (kCorrected) m = keep * m + correction[d];
      out[d] = from_float<out_t>(kInto == Into::kAdd ? to_float(out[d]) + gate[d] * m : m);
    }
  }
}

// More factors than five are first summed into a block of floats: each count of its own would cost
// more code than it saves time.
template <bool kCorrected, Into kInto, typename out_t, typename f_t>
void write_long_row(out_t* out, const RowInput<f_t>& in, int64_t D) {
  float sum[kBlock], ones[kBlock];
  std::fill_n(ones, kBlock, 1.f);
  for (int64_t d = 0; d < D; d += kBlock) {
    const int64_t size = std::min(kBlock, D - d);
    RowInput<f_t> part = in;
    for (int i = 0; i < in.count; ++i) part.factors[i] += d;
    write_row_of<5, false, Into::kStore>(sum, part, size);
    part.gate = ones;
    for (int i = 5; i < in.count; ++i) {
      part.factors[0] = in.factors[i] + d, part.weights[0] = in.weights[i];
      write_row_of<1, false, Into::kAdd>(sum, part, size);
    }
    RowInput<float> whole{};
    whole.factors[0] = sum, whole.weights[0] = 1.f, whole.keep = in.keep;
    if (kCorrected) whole.correction = in.correction + d;
    if (kInto == Into::kAdd) whole.gate = in.gate + d;
    write_row_of<1, kCorrected, kInto>(out + d, whole, size);
  }
}

template <bool kCorrected, Into kInto, typename out_t, typename f_t>
void write_row_counted(out_t* out, const RowInput<f_t>& in, int64_t D) {
  switch (in.count) {
    case 1:
      return write_row_of<1, kCorrected, kInto>(out, in, D);
    case 2:
      return write_row_of<2, kCorrected, kInto>(out, in, D);
    case 3:
      return write_row_of<3, kCorrected, kInto>(out, in, D);
    case 4:
      return write_row_of<4, kCorrected, kInto>(out, in, D);
    case 5:
      return write_row_of<5, kCorrected, kInto>(out, in, D);
    default:
      return write_long_row<kCorrected, kInto>(out, in, D);
  }
}

template <Into kInto, typename out_t, typename f_t>
void write_row(out_t* out, const RowInput<f_t>& in, int64_t D) {
  if (in.correction) return write_row_counted<true, kInto>(out, in, D);
  write_row_counted<false, kInto>(out, in, D);
}

template <typename f_t>
RowInput<f_t> forecast_of(const Factors<f_t>& factors, int64_t b, int64_t n) {
  RowInput<f_t> in{};
  in.count = factors.count, in.keep = 1.f;
  for (int i = 0; i < factors.count; ++i) {
    in.factors[i] = factors.row(i, b, n);
    in.weights[i] = factors.weights.at(b, i);
  }
  return in;
}

// The gate's row as floats, of a [B, D] gate converted once for all tokens; `absent` without one.
class GateRows {
 public:
  GateRows(const Rows& gate, int64_t D, float absent = 1.f)
      : gate_(gate), D_(D), scratch_(D, absent) {}

  const float* row(int64_t b, int64_t n) {
    if (!gate_.data) return scratch_.data();
    if (gate_.token_stride != 0 || b != held_) row_ = float_row(gate_, b, n, scratch_.data(), D_);
    held_ = b;
    return row_;
  }

 private:
  const Rows& gate_;
  const int64_t D_;
  std::vector<float> scratch_;
  int64_t held_ = -1;
  const float* row_ = nullptr;
};

// Rows a task should hold at least: enough elements that starting a thread is worth it.
inline int64_t grain_rows(int64_t D) { return 1 + 32768 / D; }

// Rows without gaps between them that an op takes as one long row, where it may: short rows cost
// more than their elements.
inline int64_t rows_together(int64_t D) { return D < 2048 ? 2048 / D : 1; }

// Asks for a row that lies anywhere, as representatives do: nothing else would fetch it before it
// is waited for. Locality 3 is the first cache, 2 the second.
template <int kLocality = 3, typename T>
void prefetch_row(const T* row, int64_t D) {
  const char* bytes = reinterpret_cast<const char*>(row);
  for (size_t at = 0; at < D * sizeof(T); at += 64) __builtin_prefetch(bytes + at, 0, kLocality);
}

// A token's rows of the factors; token -1: there is none.
template <typename f_t>
void prefetch_token(const Factors<f_t>& factors, int64_t b, int64_t token, int64_t D) {
  if (token < 0) return;
  for (int i = 0; i < factors.count; ++i) prefetch_row(factors.row(i, b, token), D);
}

// sum <- scale * row, or sum + scale * row. Asks for nothing that follows, unlike write_row: rows
// of representatives have no next one.
template <bool kAdds, typename T>
CLUSCA_CLONES void scaled_row(float* sum, float scale, const T* row, int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d) sum[d] = (kAdds ? sum[d] : 0.f) + scale * to_float(row[d]);
}

// The forecast of one token that lies anywhere.
template <typename f_t>
void forecast_row(const Factors<f_t>& factors, int64_t b, int64_t n, float* out, int64_t D) {
  scaled_row<false>(out, factors.weights.at(b, 0), factors.row(0, b, n), D);
  for (int i = 1; i < factors.count; ++i) {
    scaled_row<true>(out, factors.weights.at(b, i), factors.row(i, b, n), D);
  }
}

// correction[b, k] of clusters.h, one row of the workspace a cluster.
template <typename f_t, typename Pool>
void make_correction(const Clusters& clusters, const Factors<f_t>& factors, int64_t B, int64_t N,
                     int64_t D, const Pool& pool) {
  constexpr int64_t kAhead = 4;
  pool(B * clusters.K, grain_rows(D), [&](int64_t begin, int64_t end) {
    const float gamma = clusters.gamma.get();
    std::vector<float> scratch(D), forecast(D);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / clusters.K, k = row % clusters.K;
      const int64_t ahead = std::min(row + kAhead, end - 1), ahead_b = ahead / clusters.K;
      if (clusters.rule == Rule::kDelta)
        prefetch_token(factors, ahead_b, clusters.representative(ahead_b, ahead % clusters.K, N),
                       D);
      const int64_t token = clusters.representative(b, k, N);
      if (token < 0) continue;
      float* correction = clusters.correction_row(b, k, D);
      const float* computed = float_row(clusters.computed, b, k, scratch.data(), D);
      scaled_row<false>(correction, gamma, computed, D);
      if (clusters.rule == Rule::kDelta) {
        forecast_row(factors, b, token, forecast.data(), D);
        scaled_row<true>(correction, -gamma, forecast.data(), D);
      }
    }
  });
}

// M of clusters.h for every token, stored into out or added to it.
template <Into kInto, typename out_t, typename f_t, typename Pool>
void propagate_tokens(const Tokens<out_t>& out, const Factors<f_t>& factors,
                      const Clusters& clusters, const Rows& gate, int64_t B, int64_t N, int64_t D,
                      const Pool& pool) {
  if (B * N == 0) return;
  make_correction(clusters, factors, B, N, D, pool);
  pool(B * N, grain_rows(D), [&](int64_t begin, int64_t end) {
    GateRows gates(gate, D);
    std::vector<float> scratch(D);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / N, n = row % N;
      const int64_t k = clusters.cluster(b, n, N);
      if (k >= 0 && clusters.representatives.row(b)[k] == n) {
        RowInput<float> computed{};
        computed.factors[0] = float_row(clusters.computed, b, k, scratch.data(), D);
        computed.weights[0] = 1.f, computed.count = 1;
        if (kInto == Into::kAdd) computed.gate = gates.row(b, n);
        write_row<kInto>(out.row(b, n), computed, D);
        continue;
      }
      RowInput<f_t> in = forecast_of(factors, b, n);
      if (k >= 0) in.keep = clusters.keep(), in.correction = clusters.correction_row(b, k, D);
      if (kInto == Into::kAdd) in.gate = gates.row(b, n);
      write_row<kInto>(out.row(b, n), in, D);
    }
  });
}

// The forecast of every token, stored into out or added to it.
template <Into kInto, typename out_t, typename f_t, typename Pool>
void forecast_tokens(const Tokens<out_t>& out, const Factors<f_t>& factors, const Rows& gate,
                     int64_t B, int64_t N, int64_t D, const Pool& pool) {
  const bool dense = out.token_stride == D && factors.token_stride == D;
  const int64_t together = kInto == Into::kStore && dense ? rows_together(D) : 1;
  pool(B * N, grain_rows(D), [&](int64_t begin, int64_t end) {
    GateRows gates(gate, D);
    for (int64_t row = begin, rows; row < end; row += rows) {
      const int64_t b = row / N, n = row % N;
      rows = std::min({together, end - row, N - n});
      RowInput<f_t> in = forecast_of(factors, b, n);
      if (kInto == Into::kAdd) in.gate = gates.row(b, n);
      write_row<kInto>(out.row(b, n), in, rows * D);
    }
  });
}

}  // namespace clusca
