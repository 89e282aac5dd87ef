// CPU kernel of lean_accumulate_; the equation is in lean_accumulate.h.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/lean_accumulate.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

// accumulator += phi * feature
CLUSCA_CLONES inline void add_product(float* accumulator, const float* phi, const float* feature,
                                      int64_t D) {
  for (int64_t first = 0; first < D; first += kBlock) {
    const int64_t last = std::min(first + kBlock, D);
    prefetch_next_to_write(accumulator + first);
#pragma GCC ivdep
    for (int64_t d = first; d < last; ++d) accumulator[d] += phi[d] * feature[d];
  }
}

// A token's feature stays in cache, converted, while the components pass over it.
template <typename f_t, typename Pool>
void launch_lean_accumulate(const LeanAccumulateParams<f_t>& p, const Pool& pool) {
  const int64_t grain = std::max<int64_t>(1, grain_rows(p.D) / (1 + p.C));
  pool(p.B * p.N, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(p.D);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / p.N, n = row % p.N;
      const f_t* from = p.feature.row(b, n);
      if (row + 1 < end) prefetch_row<2>(from + p.feature.token_stride, p.D);
      const float* feature = as_floats(from, scratch.data(), p.D);
      for (int64_t c = 0; c < p.C; ++c) {
        add_product(p.accumulators.row(c, b, n), p.phi.row(c, b), feature, p.D);
      }
    }
  });
}

}  // namespace clusca
