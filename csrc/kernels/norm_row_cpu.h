// A row of floats normed and modulated; the equation is in gather_representatives.h.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "kernels/token_row_cpu.h"

namespace clusca {

// Sum of (row - center)^power for power 1 or 2, in partial sums of fixed order.
template <int kPower>
CLUSCA_CLONES float centered_sum(const float* row, float center, int64_t D) {
  constexpr int kLanes = 64;  // several vectors: additions need not wait for each other
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
#pragma GCC unroll 8
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
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

// What a norm takes from a row, and multiplies what is left by.
inline std::pair<float, float> mean_and_factor(const float* row, Norm norm, float eps, int64_t D) {
  const float count = static_cast<float>(D);
  const float mean = norm == Norm::kLayer ? centered_sum<1>(row, 0.f, D) / count : 0.f;
  if (norm == Norm::kNone) return {0.f, 1.f};
  return {mean, 1.f / std::sqrt(centered_sum<2>(row, mean, D) / count + eps)};
}

// row <- norm(row) * weight + bias
inline void norm_row(float* row, Norm norm, float eps, const float* weight, const float* bias,
                     int64_t D) {
  const auto [mean, factor] = mean_and_factor(row, norm, eps, D);
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

// slope <- weight * (1 + scale), base <- bias * (1 + scale) + shift
CLUSCA_CLONES inline void combine_rows(float* slope, float* base, const float* weight,
                                       const float* bias, const float* scale, const float* shift,
                                       int64_t D) {
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d) {
    slope[d] = weight[d] * (1.f + scale[d]);
    base[d] = bias[d] * (1.f + scale[d]) + shift[d];
  }
}

// out <- (row - mean) * factor * slope + base
template <typename scalar_t>
CLUSCA_CLONES void modulate_normed(scalar_t* out, const float* row, float mean, float factor,
                                   const float* slope, const float* base, int64_t D) {
  for (int64_t first = 0; first < D; first += kBlock) {
    const int64_t last = std::min(first + kBlock, D);
    prefetch_next_to_write(out + first);
#pragma GCC ivdep
    for (int64_t d = first; d < last; ++d) {
      out[d] = from_float<scalar_t>((row[d] - mean) * factor * slope[d] + base[d]);
    }
  }
}

// A norm's own affine map and what modulates after it, as one map of a channel: where it is the
// same for all tokens of a batch row it is made once for them.
class ModulationRows {
 public:
  ModulationRows(int64_t D, const Rows& weight, const Rows& bias, const Rows& scale,
                 const Rows& shift)
      : D_(D),
        by_token_(scale.token_stride != 0 || shift.token_stride != 0),
        weight_(weight, D, 1.f),
        bias_(bias, D, 0.f),
        scale_(scale, D, 0.f),
        shift_(shift, D, 0.f),
        slope_(D),
        base_(D) {}

  template <typename scalar_t>
  void apply(Norm norm, float eps, int64_t b, int64_t n, const float* row, scalar_t* out) {
    if (by_token_ || b != held_) {
      combine_rows(slope_.data(), base_.data(), weight_.row(0, 0), bias_.row(0, 0),
                   scale_.row(b, n), shift_.row(b, n), D_);
      held_ = b;
    }
    const auto [mean, factor] = mean_and_factor(row, norm, eps, D_);
    modulate_normed(out, row, mean, factor, slope_.data(), base_.data(), D_);
  }

 private:
  const int64_t D_;
  const bool by_token_;
  GateRows weight_, bias_, scale_, shift_;
  std::vector<float> slope_, base_;
  int64_t held_ = -1;
};

}  // namespace clusca
