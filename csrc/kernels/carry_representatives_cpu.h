// CPU kernel of carry_representatives_; the equation is in carry_representatives.h.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/carry_representatives.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

// offset += gate * computed, correction += gate * (computed - forecast)
CLUSCA_CLONES inline void carry_computed(float* offset, float* correction, const float* gate,
                                         const float* computed, const float* forecast, int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d) {
    offset[d] += gate[d] * computed[d];
    correction[d] += gate[d] * (computed[d] - forecast[d]);
  }
}

// offset += gate * forecast
CLUSCA_CLONES inline void carry_forecast(float* offset, const float* gate, const float* forecast,
                                         int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d) offset[d] += gate[d] * forecast[d];
}

template <typename f_t, typename Pool>
void launch_carry_representatives(const CarryRepresentativesParams<f_t>& p, const Pool& pool) {
  constexpr int64_t kAhead = 4;
  pool(p.B * p.K, grain_rows(p.D), [&](int64_t begin, int64_t end) {
    GateRows gates(p.gate, p.D);
    std::vector<float> forecast(p.D), scratch(p.D);
    const auto token_of = [&](int64_t row) {
      const int64_t token = p.representatives.row(row / p.K)[row % p.K];
      return token >= 0 && token < p.N ? token : -1;
    };
    for (int64_t row = begin; row < end; ++row) {
      const int64_t ahead = std::min(row + kAhead, end - 1);
      prefetch_token(p.factors, ahead / p.K, token_of(ahead), p.D);
      const int64_t b = row / p.K, k = row % p.K, token = token_of(row);
      if (token < 0) continue;
      forecast_row(p.factors, b, token, forecast.data(), p.D);
      const float* gate = gates.row(b, token);
      float* offset = p.offset.row(b, k);
      if (!p.computed.data) {
        carry_forecast(offset, gate, forecast.data(), p.D);
        continue;
      }
      const float* computed = float_row(p.computed, b, k, scratch.data(), p.D);
      carry_computed(offset, p.correction.row(b, k), gate, computed, forecast.data(), p.D);
    }
  });
}

}  // namespace clusca
