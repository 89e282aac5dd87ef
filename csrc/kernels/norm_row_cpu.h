// A row of floats normed and modulated; the equation is in gather_representatives.h.
#pragma once

#include <cmath>

#include "kernels/simd.h"

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

// row <- norm(row) * weight + bias
inline void norm_row(float* row, Norm norm, float eps, const float* weight, const float* bias,
                     int64_t D) {
  const float count = static_cast<float>(D);
  const float mean = norm == Norm::kLayer ? centered_sum<1>(row, 0.f, D) / count : 0.f;
  float factor = 1.f;
  if (norm != Norm::kNone) factor = 1.f / std::sqrt(centered_sum<2>(row, mean, D) / count + eps);
  normalize(row, mean, factor, weight, bias, D);
}

// out <- row * (1 + scale) + shift
template <typename scalar_t>
CLUSCA_CLONES void modulate(scalar_t* out, const float* row, const float* scale, const float* shift,
                            int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d)
    out[d] = from_float<scalar_t>(row[d] * (1.f + scale[d]) + shift[d]);
}

}  // namespace clusca
