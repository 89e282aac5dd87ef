// CPU kernel of gather_representatives; the equation is in gather_representatives.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/gather_representatives.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

// Sum of (row - center)^power for power 1 or 2, in sixteen partial sums of fixed order.
template <int kPower>
CLUSCA_CLONES float centered_sum(const float* row, float center, int64_t D) {
  constexpr int kLanes = 16;
  float lanes[kLanes] = {};
  int64_t d = 0;
  for (; d + kLanes <= D; d += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const float value = row[d + j] - center;
      lanes[j] += kPower == 2 ? value * value : value;
    }
  }
  for (; d < D; ++d) {
    const float value = row[d] - center;
    lanes[d % kLanes] += kPower == 2 ? value * value : value;
  }
  float sum = 0.f;
  for (const float lane : lanes) sum += lane;
  return sum;
}

CLUSCA_CLONES inline void add_row(float* to, const float* row, int64_t D) {
  for (int64_t d = 0; d < D; ++d) to[d] += row[d];
}

// row <- (row - center) * factor * weight + bias, a null pointer standing for ones or zeros.
CLUSCA_CLONES inline void normalize(float* row, float center, float factor, const float* weight,
                                    const float* bias, int64_t D) {
  for (int64_t d = 0; d < D; ++d) row[d] = (row[d] - center) * factor;
  if (weight) {
    for (int64_t d = 0; d < D; ++d) row[d] *= weight[d];
  }
  if (bias) {
    for (int64_t d = 0; d < D; ++d) row[d] += bias[d];
  }
}

// out <- row * (1 + scale) + shift
template <typename scalar_t>
CLUSCA_CLONES void modulate(scalar_t* out, const float* row, const float* scale, const float* shift,
                            int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d)
    out[d] = from_float<scalar_t>(row[d] * (1.f + scale[d]) + shift[d]);
}

template <typename scalar_t>
void gather_row(const GatherRepresentativesParams<scalar_t>& p, int64_t b, int64_t k,
                float* scratch) {
  float *row = scratch, *other = scratch + p.D, *another = other + p.D;
  scalar_t* rows = p.rows + (b * p.K + k) * p.D;
  scalar_t* modulated = p.modulated + (b * p.K + k) * p.D;
  const int64_t token = p.representatives.row(b)[k];
  if (token < 0 || token >= p.N) {
    std::fill_n(rows, p.D, scalar_t{});
    std::fill_n(modulated, p.D, scalar_t{});
    return;
  }
  convert_row(p.tokens.row(b, token), row, p.D);
  if (p.offset.data) add_row(row, p.offset.row(b, k), p.D);
  store_row(row, rows, p.D);
  const float count = static_cast<float>(p.D);
  const float mean = p.norm == Norm::kLayer ? centered_sum<1>(row, 0.f, p.D) / count : 0.f;
  float factor = 1.f;
  if (p.norm != Norm::kNone) {
    factor = 1.f / std::sqrt(centered_sum<2>(row, mean, p.D) / count + p.eps);
  }
  const float* weight = p.weight.data ? float_row(p.weight, 0, 0, other, p.D) : nullptr;
  const float* bias = p.bias.data ? float_row(p.bias, 0, 0, another, p.D) : nullptr;
  normalize(row, mean, factor, weight, bias, p.D);
  std::fill_n(other, 2 * p.D, 0.f);
  const float* scale = p.scale.data ? float_row(p.scale, b, token, other, p.D) : other;
  const float* shift = p.shift.data ? float_row(p.shift, b, token, another, p.D) : another;
  modulate(modulated, row, scale, shift, p.D);
}

template <typename scalar_t, typename Pool>
void launch_gather_representatives(const GatherRepresentativesParams<scalar_t>& p,
                                   const Pool& pool) {
  constexpr int64_t kAhead = 4;
  pool(p.B * p.K, grain_rows(p.D), [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(3 * p.D);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t ahead = std::min(row + kAhead, end - 1), b = ahead / p.K;
      const int64_t token = p.representatives.row(b)[ahead % p.K];
      if (token >= 0 && token < p.N) prefetch_row(p.tokens.row(b, token), p.D);
      gather_row(p, row / p.K, row % p.K, scratch.data());
    }
  });
}

}  // namespace clusca
