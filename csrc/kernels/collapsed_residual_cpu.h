// CPU kernel of collapsed_residual; the equation is in collapsed_residual.h.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/collapsed_residual.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

// A few tokens at a time: their sums stay in cache while the modules pass over them, and so many
// rows of a module lie one behind the other that prefetchers see them.
inline int64_t tokens_at_once(int64_t D) { return 1 + 16384 / D; }

// Tokens n to n + count of batch row b, whose sums are [count, D].
template <typename x_t, typename f_t>
void collapse_tokens(const CollapsedResidualParams<x_t, f_t>& p, std::vector<GateRows>& gates,
                     float* sums, float* scratch, int64_t b, int64_t n, int64_t count) {
  for (int64_t i = 0; i < count; ++i) convert_row(p.x.row(b, n + i), sums + i * p.D, p.D);
  for (int m = 0; m < p.count; ++m) {
    const Factors<f_t> factors = p.factors(m);
    for (int64_t i = 0; i < count; ++i) {
      RowInput<f_t> in = forecast_of(factors, b, n + i);
      in.gate = gates[m].row(b, n + i);
      write_row<Into::kAdd>(sums + i * p.D, in, p.D);
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    float* sum = sums + i * p.D;
    const int64_t k = p.clusters.computed.data ? p.clusters.cluster(b, n + i, p.N) : -1;
    if (k >= 0) {
      const float* row = float_row(p.clusters.computed, b, k, scratch, p.D);
      scaled_row<true>(sum, p.clusters.share(b, n + i, k), row, p.D);
    }
    store_row(sum, p.out.row(b, n + i), p.D);
  }
}

template <typename x_t, typename f_t, typename Pool>
void launch_collapsed_residual(const CollapsedResidualParams<x_t, f_t>& p, const Pool& pool) {
  const int64_t at_once = tokens_at_once(p.D);
  pool(p.B * p.N, std::max(at_once, grain_rows(p.D) / (1 + p.count)),
       [&](int64_t begin, int64_t end) {
         std::vector<float> sums(at_once * p.D), scratch(p.D);
         std::vector<Rows> rows;
         std::vector<GateRows> gates;
         for (int m = 0; m < p.count; ++m) rows.push_back(p.gate(m));
         for (const Rows& gate : rows) gates.emplace_back(gate, p.D);
         for (int64_t row = begin, count; row < end; row += count) {
           const int64_t b = row / p.N, n = row % p.N;
           count = std::min({at_once, end - row, p.N - n});
           collapse_tokens(p, gates, sums.data(), scratch.data(), b, n, count);
         }
       });
}

}  // namespace clusca
