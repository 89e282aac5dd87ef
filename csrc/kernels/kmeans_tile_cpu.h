// The arithmetic of the CPU's k-means on a tile of tokens that stays in cache: scores against all
// centroids as a small matrix product, the nearest of them, and the sums of the tile's clusters.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/simd.h"

namespace clusca {

constexpr int kTile =
    64;  // tokens: a bfloat16 tile of D = 3072 is 393 kB, in L2 for its second read
constexpr int kPanel = 16;   // clusters scored together, one a lane
constexpr int kDepth = 256;  // channels a product runs over: a panel's slice is 16 kB, in L1
constexpr int kRows = 8;     // tokens that share the load of a panel

typedef float Lanes __attribute__((vector_size(4 * kPanel), aligned(4), may_alias));

CLUSCA_INLINE Lanes load_lanes(const float* from) { return *reinterpret_cast<const Lanes*>(from); }
CLUSCA_INLINE void store_lanes(float* to, Lanes value) { *reinterpret_cast<Lanes*>(to) = value; }

// scores[r, k] += term(x[r, d], panel[d, k]) summed over d < depth; term is -x * c (l2, up to the
// parts that do not change the argmin) or |x - c| (l1).
template <Metric kMetric>
CLUSCA_CLONES void score_panel(const float* x, int64_t x_stride, const float* panel, int64_t depth,
                               float* scores, int64_t scores_stride) {
  Lanes sums[kRows] = {};
  for (int64_t d = 0; d < depth; ++d) {
    const Lanes c = load_lanes(panel + d * kPanel);
    for (int r = 0; r < kRows; ++r) {
      const float value = x[r * x_stride + d];
      if (kMetric == Metric::kL2) {
        sums[r] -= value * c;
      } else {
        const Lanes difference = value - c;
        sums[r] += difference < 0.f ? -difference : difference;
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* to = scores + r * scores_stride;
    store_lanes(to, load_lanes(to) + sums[r]);
  }
}

// The distance itself, without the cancellation of |x|^2 - 2 x c + |c|^2.
template <Metric kMetric, typename scalar_t>
CLUSCA_CLONES float distance_to(const scalar_t* x, const float* c, int64_t D) {
  float lanes[kPanel] = {};
  int64_t d = 0;
  for (; d + kPanel <= D; d += kPanel) {
    for (int j = 0; j < kPanel; ++j) {
      const float difference = to_float(x[d + j]) - c[d + j];
      lanes[j] += kMetric == Metric::kL2 ? difference * difference
                                         : (difference < 0.f ? -difference : difference);
    }
  }
  for (; d < D; ++d) {
    const float difference = to_float(x[d]) - c[d];
    lanes[d % kPanel] += kMetric == Metric::kL2 ? difference * difference
                                                : (difference < 0.f ? -difference : difference);
  }
  float sum = 0.f;
  for (const float lane : lanes) sum += lane;
  return sum;
}

// sum[d] += rows[0][d] + rows[1][d] + ..., a block of channels at a time so that it stays in
// registers.
template <typename scalar_t>
CLUSCA_CLONES void add_rows(float* sum, const scalar_t* const* rows, int count, int64_t D) {
  constexpr int kBlock = 64;
  int64_t d = 0;
  for (; d + kBlock <= D; d += kBlock) {
    float block[kBlock];
    for (int j = 0; j < kBlock; ++j) block[j] = sum[d + j];
    for (int r = 0; r < count; ++r) {
      for (int j = 0; j < kBlock; ++j) block[j] += to_float(rows[r][d + j]);
    }
    for (int j = 0; j < kBlock; ++j) sum[d + j] = block[j];
  }
  for (int r = 0; r < count; ++r) {
    for (int64_t e = d; e < D; ++e) sum[e] += to_float(rows[r][e]);
  }
}

// The centroids of one batch row, laid out in panels [ceil(K / 16)][D][16] for score_panel.
class PackedCentroids {
 public:
  PackedCentroids() = default;
  PackedCentroids(Metric metric, const Tokens<const float>& centroids, int64_t b, int64_t K,
                  int64_t D)
      : panels((K + kPanel - 1) / kPanel),
        D(D),
        values_(panels * D * kPanel),
        offsets_(panels * kPanel, std::numeric_limits<float>::infinity()) {
    for (int64_t k = 0; k < K; ++k) {
      const float* c = centroids.row(b, k);
      float* panel = values_.data() + (k / kPanel) * D * kPanel + k % kPanel;
      double squares = 0;
      for (int64_t d = 0; d < D; ++d) {
        panel[d * kPanel] = c[d];
        squares += static_cast<double>(c[d]) * c[d];
      }
      offsets_[k] = metric == Metric::kL2 ? static_cast<float>(squares / 2) : 0.f;
    }
  }

  const float* panel(int64_t i, int64_t d) const { return values_.data() + (i * D + d) * kPanel; }
  // What a score starts from: |c|^2 / 2 (l2), 0 (l1), infinity where there is no cluster. [panels *
  // 16]
  const std::vector<float>& offsets() const { return offsets_; }

  int64_t panels = 0, D = 0;

 private:
  std::vector<float> values_, offsets_;
};

// Up to 64 tokens of one batch row.
template <typename scalar_t>
class TokenTile {
 public:
  TokenTile(int64_t K, int64_t D)
      : D_(D),
        K_(K),
        x_(kTile * kDepth),
        scores_(kTile * ((K + kPanel - 1) / kPanel) * kPanel),
        members_(kTile),
        starts_(K + 1) {}

  // Nearest centroid and distance of `count` tokens from `first` on.
  void assign(Metric metric, const Tokens<const scalar_t>& tokens,
              const Tokens<const float>& centroids, const PackedCentroids& packed, int64_t b,
              int64_t first, int count, int32_t* cluster_ids, float* distances) {
    const auto go = metric == Metric::kL2 ? &TokenTile::assign_by<Metric::kL2>
                                          : &TokenTile::assign_by<Metric::kL1>;
    (this->*go)(tokens, centroids, packed, b, first, count, cluster_ids, distances);
  }

  template <Metric kMetric>
  void assign_by(const Tokens<const scalar_t>& tokens, const Tokens<const float>& centroids,
                 const PackedCentroids& packed, int64_t b, int64_t first, int count,
                 int32_t* cluster_ids, float* distances) {
    score<kMetric>(tokens, packed, b, first, count);
    const int64_t width = packed.panels * kPanel;
    for (int t = 0; t < count; ++t) {
      const int64_t best = lowest(scores_.data() + t * width);
      const float distance =
          distance_to<kMetric>(tokens.row(b, first + t), centroids.row(b, best), D_);
      const bool finite = distance - distance == 0.f;
      cluster_ids[t] = finite ? static_cast<int32_t>(best) : 0;
      distances[t] = finite ? distance : std::numeric_limits<float>::infinity();
    }
  }

  // Adds the tile's tokens to their clusters, those at infinite distance left out. A cluster's
  // tokens are added in ascending order.
  void accumulate(const Tokens<const scalar_t>& tokens, int64_t b, int64_t first, int count,
                  const int32_t* cluster_ids, const float* distances, float* sums,
                  int32_t* counts) {
    std::fill(starts_.begin(), starts_.end(), 0);
    const auto is_in = [&](int t) { return distances[t] - distances[t] == 0.f; };
    for (int t = 0; t < count; ++t) starts_[cluster_ids[t] + 1] += is_in(t);
    for (int64_t k = 0; k < K_; ++k) {
      counts[k] += starts_[k + 1];
      starts_[k + 1] += starts_[k];
    }
    for (int t = 0; t < count; ++t) {
      if (is_in(t)) members_[starts_[cluster_ids[t]]++] = tokens.row(b, first + t);
    }
    for (int64_t k = 0, begin = 0; k < K_; begin = starts_[k++]) {
      const int size = static_cast<int>(starts_[k] - begin);
      if (size > 0) add_rows(sums + k * D_, members_.data() + begin, size, D_);
    }
  }

 private:
  // The first of the lowest scores; one that is NaN is never the lowest.
  int64_t lowest(const float* scores) const {
    int64_t best = 0;
    float score = std::numeric_limits<float>::infinity();
    for (int64_t k = 0; k < K_; ++k) {
      if (scores[k] < score) best = k, score = scores[k];
    }
    return best;
  }

  template <Metric kMetric>
  void score(const Tokens<const scalar_t>& tokens, const PackedCentroids& packed, int64_t b,
             int64_t first, int count) {
    const int64_t width = packed.panels * kPanel;
    for (int t = 0; t < count; ++t) {
      std::copy(packed.offsets().begin(), packed.offsets().end(), scores_.begin() + t * width);
    }
    const int padded = (count + kRows - 1) / kRows * kRows;
    for (int64_t d = 0; d < D_; d += kDepth) {
      const int64_t depth = std::min<int64_t>(kDepth, D_ - d);
      for (int t = 0; t < count; ++t)
        convert_row(tokens.row(b, first + t) + d, &x_[t * kDepth], depth);
      for (int64_t i = 0; i < packed.panels; ++i) {
        for (int t = 0; t < padded; t += kRows) {
          score_panel<kMetric>(&x_[t * kDepth], kDepth, packed.panel(i, d), depth,
                               &scores_[t * width + i * kPanel], width);
        }
      }
    }
  }

  const int64_t D_, K_;
  std::vector<float> x_;                  // [kTile, kDepth]
  std::vector<float> scores_;             // [kTile, panels * 16]
  std::vector<const scalar_t*> members_;  // the tile's tokens, cluster by cluster
  std::vector<int64_t> starts_;           // [K + 1]
};

}  // namespace clusca
