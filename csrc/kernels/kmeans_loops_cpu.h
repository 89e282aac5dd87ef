// The inner loops of the CPU's k-means: scores of tokens against panels of sixteen centroids, the
// distance of a pair, and the sums of a cluster.
#pragma once

#include "kernels/tensors.h"
#include "kernels/vectors_cpu.h"

namespace clusca {

constexpr int kPanel = 16;  // clusters scored together, one a lane

// scores[r, k] += term(x[r, d], panel[d, k]) summed over d < depth; term is -x * c (l2, up to the
// parts that do not change the argmin) or |x - c| (l1). A score does not depend on what is computed
// beside it.
template <Metric kMetric>
struct ScorePanels {
  const float* x;  // [tokens, depth]
  int64_t x_stride, tokens, depth;
  const float* panel;  // [panels, depth, 16]
  int64_t panel_stride, panels;
  float* scores;  // [tokens, panels * 16]

  // Eight registers of sums hide the latency of an addition; sixteen, where there are that many,
  // halve the loads of x.
  template <int kWidth>
  CLUSCA_INLINE void run() const {
    constexpr int kRows = kWidth / 2, kWide = kWidth == 16 ? 2 : 1;
    int64_t i = 0;
    for (; i + kWide <= panels; i += kWide) run_panels<kWidth, kRows, kWide>(i);
    for (; i < panels; ++i) run_panels<kWidth, kRows, 1>(i);
  }

  template <int kWidth, int kRows, int kPanels>
  CLUSCA_INLINE void run_panels(int64_t i) const {
    int64_t r = 0;
    for (; r + kRows <= tokens; r += kRows) run_block<kWidth, kRows, kPanels>(r, i);
    for (; r < tokens; ++r) run_block<kWidth, 1, kPanels>(r, i);
  }

  template <int kWidth, int kRows, int kPanels>
  CLUSCA_INLINE void run_block(int64_t first, int64_t i) const {
    using V = VectorOf<kWidth>;
    constexpr int kParts = kPanel / kWidth, kColumns = kPanels * kParts;
    const float *from = x + first * x_stride, *c = panel + i * panel_stride;
    typename V::Floats sums[kRows][kColumns] = {};
    for (int64_t d = 0; d < depth; ++d) {
      typename V::Floats centroids[kColumns];
      for (int j = 0; j < kColumns; ++j) {
        centroids[j] = V::load(c + j / kParts * panel_stride + d * kPanel + j % kParts * kWidth);
      }
      for (int r = 0; r < kRows; ++r) {
        const float value = from[r * x_stride + d];
        for (int j = 0; j < kColumns; ++j) {
          if (kMetric == Metric::kL2) {
            sums[r][j] -= value * centroids[j];
          } else {
            sums[r][j] += V::magnitude(value - centroids[j]);
          }
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int j = 0; j < kColumns; ++j) {
        float* to = scores + ((first + r) * panels + i) * kPanel + j * kWidth;
        V::store(to, V::load(to) + sums[r][j]);
      }
    }
  }
};

// squares[r, j] += x[r, d]^2 summed over the d < depth with d % 16 == j.
struct AddSquares {
  const float* x;  // [tokens, depth]
  int64_t x_stride, tokens, depth;
  float* squares;  // [tokens, 16]

  template <int kWidth>
  CLUSCA_INLINE void run() const {
    using V = VectorOf<kWidth>;
    constexpr int kParts = kPanel / kWidth;
    for (int64_t r = 0; r < tokens; ++r) {
      const float* from = x + r * x_stride;
      float* to = squares + r * kPanel;
      typename V::Floats sums[kParts] = {};
      int64_t d = 0;
      for (; d + kPanel <= depth; d += kPanel) {
        for (int j = 0; j < kParts; ++j) {
          const typename V::Floats value = V::load(from + d + j * kWidth);
          sums[j] += value * value;
        }
      }
      for (int j = 0; j < kParts; ++j) {
        V::store(to + j * kWidth, V::load(to + j * kWidth) + sums[j]);
      }
      for (; d < depth; ++d) to[d % kPanel] += from[d] * from[d];
    }
  }
};

// |x|^2, roughly: in whatever order.
struct RowSquare {
  const bfloat16_t* x;  // [D]
  int64_t D;
  float* result;

  template <int kWidth>
  CLUSCA_INLINE void run() const {
    using V = VectorOf<kWidth>;
    typename V::Floats sums[4] = {};  // so that an addition need not wait for the one before it
    int64_t d = 0;
    for (; d + 4 * kWidth <= D; d += 4 * kWidth) {
      for (int j = 0; j < 4; j += 2) {  // channels in pairs: odd ones are the upper halves
        typename V::Bits pairs;
        std::memcpy(&pairs, x + d + j * kWidth, sizeof pairs);
        const auto even = reinterpret_cast<typename V::Floats>(pairs << 16);
        const auto odd = reinterpret_cast<typename V::Floats>(pairs & 0xffff0000u);
        sums[j] += even * even, sums[j + 1] += odd * odd;
      }
    }
    const auto lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float sum = 0.f;
    for (int j = 0; j < kWidth; ++j) sum += lanes[j];
    for (; d < D; ++d) sum += to_float(x[d]) * to_float(x[d]);
    *result = sum;
  }
};

// The distance itself, without the cancellation of |x|^2 - 2 x c + |c|^2.
template <Metric kMetric>
struct Distance {
  const float *x, *c;  // [D]
  int64_t D;
  float* result;

  template <int kWidth>
  CLUSCA_INLINE void run() const {
    using V = VectorOf<kWidth>;
    constexpr int kParts = 4;  // so that an addition need not wait for the one before it
    typename V::Floats sums[kParts] = {};
    int64_t d = 0;
    for (; d + kParts * kWidth <= D; d += kParts * kWidth) {
      for (int j = 0; j < kParts; ++j) {
        const auto difference = V::load(x + d + j * kWidth) - V::load(c + d + j * kWidth);
        sums[j] += kMetric == Metric::kL2 ? difference * difference : V::magnitude(difference);
      }
    }
    const auto lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float sum = 0.f;
    for (int j = 0; j < kWidth; ++j) sum += lanes[j];
    for (; d < D; ++d) {
      const float difference = x[d] - c[d];
      sum += kMetric == Metric::kL2 ? difference * difference : magnitude(difference);
    }
    *result = sum;
  }

  static CLUSCA_INLINE float magnitude(float value) {
    return bits_float(float_bits(value) & 0x7fffffffu);
  }
};

// |c|^2 / 2, summed in float64.
CLUSCA_CLONES inline float half_square(const float* c, int64_t D) {
  double sums[kPanel] = {}, sum = 0;
  for (int64_t d = 0; d + kPanel <= D; d += kPanel) {
    for (int j = 0; j < kPanel; ++j) {
      sums[j] += static_cast<double>(c[d + j]) * static_cast<double>(c[d + j]);
    }
  }
  for (int64_t d = D / kPanel * kPanel; d < D; ++d) sum += static_cast<double>(c[d]) * c[d];
  for (const double part : sums) sum += part;
  return static_cast<float>(sum / 2);
}

// sum[d] += rows[0][d] + rows[1][d] + ..., from left to right.
template <int kCount, typename scalar_t>
CLUSCA_CLONES void add_rows_of(float* sum, const scalar_t* const* rows, int64_t D) {
  const scalar_t* row[kCount];
  for (int i = 0; i < kCount; ++i) row[i] = rows[i];
#pragma GCC ivdep
  for (int64_t d = 0; d < D; ++d) {
    float total = sum[d];
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) total += to_float(row[i][d]);
    sum[d] = total;
  }
}

// The same for any number of rows: four at a time spare reads and writes of the sum.
template <typename scalar_t>
void add_rows(float* sum, const scalar_t* const* rows, int64_t count, int64_t D) {
  for (; count >= 4; count -= 4, rows += 4) add_rows_of<4>(sum, rows, D);
  if (count == 3) add_rows_of<3>(sum, rows, D);
  if (count == 2) add_rows_of<2>(sum, rows, D);
  if (count == 1) add_rows_of<1>(sum, rows, D);
}

}  // namespace clusca
