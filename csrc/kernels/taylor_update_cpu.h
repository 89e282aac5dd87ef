// CPU kernel of taylor_update_; the equation is in taylor_update.h.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/taylor_update.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

// Moves kCount orders on: factors_i <- now, now <- (now - factors_i) * rates_i, beginning with
// now = from and ending with to = now. One pass; what lies between two orders is never stored.
// With `past_caches`, to is stored past the caches.
template <int kCount, typename to_t, typename from_t, typename f_t>
CLUSCA_CLONES void move_orders(f_t* factors, int64_t order_stride, const float* rates,
                               const from_t* from, to_t* to, int64_t D, bool past_caches = false) {
  f_t* factor[kCount + 1];
  float rate[kCount + 1];
  for (int i = 0; i < kCount; ++i) factor[i] = factors + i * order_stride, rate[i] = rates[i];
  to_t block[kBlock];
  for (int64_t first = 0; first < D; first += kBlock) {
    const int64_t last = std::min(first + kBlock, D);
    to_t* out = past_caches ? block : to + first;
    prefetch_next(from + first);
    if (!past_caches) prefetch_next_to_write(to + first);
    if (kCount > 0) prefetch_next_to_write(factors + first);
#pragma GCC ivdep
    for (int64_t d = first; d < last; ++d) {
      float now = to_float(from[d]);
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        const float old = to_float(factor[i][d]);
        factor[i][d] = from_float<f_t>(now);
        now = (now - old) * rate[i];
      }
      out[d - first] = from_float<to_t>(now);
    }
    if (past_caches) store_past_caches(block, to + first, last - first);
  }
}

// The same for the first `count` <= 4 orders of those left; the next order is where the last
// difference goes.
template <typename from_t, typename f_t>
void move_last_orders(int count, f_t* factors, int64_t order_stride, const float* rates,
                      const from_t* from, int64_t D, bool past_caches) {
  f_t* to = factors + count * order_stride;
  switch (count) {
    case 0:
      return move_orders<0>(factors, order_stride, rates, from, to, D, past_caches);
    case 1:
      return move_orders<1>(factors, order_stride, rates, from, to, D, past_caches);
    case 2:
      return move_orders<2>(factors, order_stride, rates, from, to, D, past_caches);
    case 3:
      return move_orders<3>(factors, order_stride, rates, from, to, D, past_caches);
    default:
      return move_orders<4>(factors, order_stride, rates, from, to, D, past_caches);
  }
}

// All orders of D elements. An order of rate 0 ends a chain of differences: the next one is of
// zeros, and is not read unless it has a rate itself.
template <typename from_t, typename f_t>
void update_orders(const TaylorUpdateParams<f_t>& p, f_t* factors, const from_t* from, float* carry,
                   int64_t D, bool past_caches) {
  float rates[Weights::kMaxFactors];
  for (int i = 0; i < p.orders; ++i) rates[i] = p.rate(i);
  for (int i = 0; i < p.orders;) {
    int count = 0;
    while (rates[i + count] != 0.f) ++count;  // the last order's rate is 0
    f_t* now = factors + i * p.order_stride;
    if (count > 4) {
      i == 0 ? move_orders<4>(now, p.order_stride, rates, from, carry, D)
             : move_orders<4>(now, p.order_stride, rates + i, carry, carry, D);
      i += 4, count -= 4, now += 4 * p.order_stride;
    }
    if (i == 0) {
      move_last_orders(count, now, p.order_stride, rates, from, D, past_caches);
    } else {
      move_last_orders(count, now, p.order_stride, rates + i, carry, D, past_caches);
    }
    i += count + 1;
    if (i < p.orders) std::fill_n(carry, D, 0.f);
  }
}

template <typename f_t, typename Pool>
void launch_taylor_update(const TaylorUpdateParams<f_t>& p, const Pool& pool) {
  constexpr Dtype kDtype = std::is_same_v<f_t, float>    ? Dtype::kFloat
                           : std::is_same_v<f_t, half_t> ? Dtype::kHalf
                                                         : Dtype::kBFloat16;
  const bool dense = p.token_stride == p.D && p.feature.token_stride == p.D;
  const int64_t together = dense ? rows_together(p.D) : 1;
  // What a cache holds until the next step is asked for where all of it is small.
  const bool past_caches = p.orders * p.B * p.N * p.D * sizeof(f_t) > kCacheBytes;
  pool(p.B * p.N, grain_rows(p.D), [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(together * p.D), carry(together * p.D);
    for (int64_t row = begin, rows; row < end; row += rows) {
      const int64_t b = row / p.N, n = row % p.N;
      rows = std::min({together, end - row, p.N - n});
      f_t* factors = p.factors + b * p.batch_stride + n * p.token_stride;
      if (p.feature.dtype == kDtype) {
        const f_t* from = static_cast<const f_t*>(p.feature.data) + p.feature.offset(b, n);
        update_orders(p, factors, from, carry.data(), rows * p.D, past_caches);
      } else {
        const float* from = float_row(p.feature, b, n, scratch.data(), rows * p.D);
        update_orders(p, factors, from, carry.data(), rows * p.D, past_caches);
      }
    }
    if (past_caches) stored_past_caches();
  });
}

}  // namespace clusca
