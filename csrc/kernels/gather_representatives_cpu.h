// CPU kernel of gather_representatives; the equation is in gather_representatives.h.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/gather_representatives.h"
#include "kernels/norm_row_cpu.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

CLUSCA_CLONES inline void add_row(float* to, const float* row, int64_t D) {
  for (int64_t d = 0; d < D; ++d) to[d] += row[d];
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
  const float* weight = p.weight.data ? float_row(p.weight, 0, 0, other, p.D) : nullptr;
  const float* bias = p.bias.data ? float_row(p.bias, 0, 0, another, p.D) : nullptr;
  norm_row(row, p.norm, p.eps, weight, bias, p.D);
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
