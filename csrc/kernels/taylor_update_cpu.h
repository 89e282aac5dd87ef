// CPU kernel of taylor_update_; the equation is in taylor_update.h.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/taylor_update.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

// factor <- difference, and difference <- the next order's: (difference - old factor) * rate.
template <typename f_t>
CLUSCA_CLONES void store_and_differ(f_t* factor, float* difference, float rate, int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d) {
    const float old = to_float(factor[d]), now = difference[d];
    factor[d] = from_float<f_t>(now);
    difference[d] = (now - old) * rate;
  }
}

template <typename f_t>
CLUSCA_CLONES void store_row(f_t* factor, const float* row, int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d) factor[d] = from_float<f_t>(row[d]);
}

template <typename f_t, typename Pool>
void launch_taylor_update(const TaylorUpdateParams<f_t>& p, const Pool& pool) {
  pool(p.B * p.N, grain_rows(p.D), [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(p.D), difference(p.D);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / p.N, n = row % p.N;
      const float* feature = float_row(p.feature, b, n, scratch.data(), p.D);
      std::copy_n(feature, p.D, difference.data());
      f_t* factor = p.factors + b * p.batch_stride + n * p.token_stride;
      for (int i = 0; i < p.orders; ++i, factor += p.order_stride) {
        const float rate = p.rate(i);
        if (rate != 0.f) {
          store_and_differ(factor, difference.data(), rate, p.D);
        } else {
          store_row(factor, difference.data(), p.D);
          std::fill(difference.begin(), difference.end(), 0.f);
        }
      }
    }
  });
}

}  // namespace clusca
