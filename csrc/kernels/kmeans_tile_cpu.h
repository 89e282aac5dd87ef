// The CPU's k-means on a tile of tokens that stays in cache: scores against all centroids as a
// small matrix product, the nearest of them, and the sums of the tile's clusters.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <type_traits>
#include <vector>

#include "kernels/kmeans_amx_cpu.h"
#include "kernels/kmeans_loops_cpu.h"

namespace clusca {

constexpr int kTile = 64;  // tokens: of D = 3072 in bfloat16 393 kB, in L2 for the second read
constexpr float kSafe = 1e37f;
constexpr int kSweep = 8;    // tokens that go together past few centroids
constexpr int kDepth = 256;  // channels a product runs over: a panel's slice is 16 kB, in L1

// The centroids of one batch row, laid out in panels [ceil(K / 16)][D][16] for ScorePanels, or in
// tiles.
class PackedCentroids {
 public:
  PackedCentroids() = default;
  PackedCentroids(int64_t K, int64_t D, bool in_tiles)
      : panels((K + kPanel - 1) / kPanel),
        D(D),
        in_tiles(in_tiles),
        tiles(in_tiles ? CentroidTiles(K, D) : CentroidTiles()),
        values_(in_tiles ? 0 : panels * D * kPanel + kPanel),
        offsets_(panels * kPanel, std::numeric_limits<float>::infinity()) {}

  // Fills panel i.
  void pack(Metric metric, const Tokens<const float>& centroids, int64_t b, int64_t i, int64_t K) {
    const int64_t first = i * kPanel, count = std::min<int64_t>(kPanel, K - first);
    for (int64_t k = first; k < first + count; ++k) {
      offsets_[k] = metric == Metric::kL2 ? half_square(centroids.row(b, k), D) : 0.f;
    }
    if (in_tiles) return tiles.pack(centroids, b, i, K, D);
    float* to = const_cast<float*>(panel(i, 0));
    for (int64_t k = 0; k < count; ++k) {
      const float* c = centroids.row(b, first + k);
      for (int64_t d = 0; d < D; ++d) to[d * kPanel + k] = c[d];
    }
  }

  // On a cache line, so that no load crosses one.
  const float* panel(int64_t i, int64_t d) const {
    const auto address = reinterpret_cast<uintptr_t>(values_.data());
    const float* aligned = reinterpret_cast<const float*>((address + 63) / 64 * 64);
    return aligned + (i * D + d) * kPanel;
  }
  // What a score starts from: |c|^2 / 2 (l2), 0 (l1), infinity where there is no cluster.
  // [panels * 16]
  const std::vector<float>& offsets() const { return offsets_; }

  int64_t panels = 0, D = 0;
  bool in_tiles = false;
  CentroidTiles tiles;

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
        squares_(kTile * kPanel),
        starts_(K + 1) {}

  // Nearest centroid and distance of `count` tokens from `first` on. Without `exact` a distance is
  // only finite if the true one is, which is cheaper.
  void assign(Metric metric, const Tokens<const scalar_t>& tokens,
              const Tokens<const float>& centroids, const PackedCentroids& packed, int64_t b,
              int64_t first, int count, bool exact, int32_t* cluster_ids, float* distances) {
    const auto go = metric == Metric::kL2 ? &TokenTile::assign_by<Metric::kL2>
                                          : &TokenTile::assign_by<Metric::kL1>;
    (this->*go)(tokens, centroids, packed, b, first, count, exact, cluster_ids, distances);
  }

  template <Metric kMetric>
  void assign_by(const Tokens<const scalar_t>& tokens, const Tokens<const float>& centroids,
                 const PackedCentroids& packed, int64_t b, int64_t first, int count, bool exact,
                 int32_t* cluster_ids, float* distances) {
    const int64_t width = packed.panels * kPanel;
    for (int t = 0; t < count; ++t) {
      std::copy(packed.offsets().begin(), packed.offsets().end(), scores_.begin() + t * width);
    }
    const bool squares = kMetric == Metric::kL2 && !exact;
    if (squares) std::fill(squares_.begin(), squares_.end(), 0.f);
    if constexpr (std::is_same_v<scalar_t, bfloat16_t>) {
      if (packed.in_tiles) score_in_tiles(tokens, packed, b, first, count);
    }
    // Few centroids stay in cache from token to token; of many, slices are used by the whole tile.
    const int sweep = packed.panels <= 2 && !packed.in_tiles ? kSweep : kTile;
    for (int t = 0; t < count; t += sweep) {
      const int rows = std::min(sweep, count - t);
      if (!packed.in_tiles) score<kMetric>(tokens, packed, b, first, t, rows, squares);
      for (int r = t; r < t + rows; ++r) {
        const int64_t best = lowest(&scores_[r * width]);
        float distance = bound_of<kMetric>(r, best, packed);
        if (exact || !(distance < kSafe)) {
          const float* x = floats(tokens.row(b, first + r));
          run_widest(Distance<kMetric>{x, centroids.row(b, best), D_, &distance});
        }
        const bool finite = distance - distance == 0.f;
        cluster_ids[r] = finite ? static_cast<int32_t>(best) : 0;
        distances[r] = finite ? distance : std::numeric_limits<float>::infinity();
      }
    }
  }

  // Adds tokens to their clusters, those at infinite distance left out. A cluster's
  // tokens are added in ascending order.
  void accumulate(const Tokens<const scalar_t>& tokens, int64_t b, int64_t first, int64_t count,
                  const int32_t* cluster_ids, const float* distances, float* sums,
                  int32_t* counts) {
    std::fill(starts_.begin(), starts_.end(), 0);
    members_.resize(count);
    const auto is_in = [&](int64_t t) { return distances[t] - distances[t] == 0.f; };
    for (int64_t t = 0; t < count; ++t) starts_[cluster_ids[t] + 1] += is_in(t);
    for (int64_t k = 0; k < K_; ++k) {
      counts[k] += starts_[k + 1];
      starts_[k + 1] += starts_[k];
    }
    for (int64_t t = 0; t < count; ++t) {
      if (is_in(t)) members_[starts_[cluster_ids[t]]++] = tokens.row(b, first + t);
    }
    for (int64_t k = 0, begin = 0; k < K_; begin = starts_[k++]) {
      add_rows(sums + k * D_, members_.data() + begin, starts_[k] - begin, D_);
    }
  }

 private:
  // A token as floats: in place if it is float32.
  const float* floats(const scalar_t* token) {
    if constexpr (std::is_same_v<scalar_t, float>) return token;
    row_.resize(D_);
    convert_row(token, row_.data(), D_);
    return row_.data();
  }

  // If this is below kSafe, far from float32's largest, the distance is finite: |x - c|^2 is at
  // most 2 (|x|^2 + |c|^2). Tokens' squares are known only where distances need not be exact.
  template <Metric kMetric>
  float bound_of(int t, int64_t k, const PackedCentroids& packed) const {
    if (kMetric == Metric::kL1) return scores_[t * packed.panels * kPanel + k];
    const float* squares = &squares_[t * kPanel];
    return std::accumulate(squares, squares + kPanel, packed.offsets()[k]);
  }

  // The first of the lowest scores; one that is NaN is never the lowest.
  int64_t lowest(const float* scores) const {
    int64_t best = 0;
    float score = std::numeric_limits<float>::infinity();
    for (int64_t k = 0; k < K_; ++k) {
      if (scores[k] < score) best = k, score = scores[k];
    }
    return best;
  }

  // The tile's scores as products, and tokens' squares. These come first: token by token is the
  // order in which memory is read ahead, of sixteen at once it is not.
  void score_in_tiles(const Tokens<const bfloat16_t>& tokens, const PackedCentroids& packed,
                      int64_t b, int64_t first, int count) {
    for (int t = 0; t < count; ++t) {
      run_widest(RowSquare{tokens.row(b, first + t), D_, &squares_[t * kPanel]});
    }
    if (!products_) products_ = std::make_unique<TileProducts>();
    for (int t = 0; t < count; t += TileProducts::kTokens) {
      const int rows = std::min(TileProducts::kTokens, count - t);
      const bfloat16_t* x = tokens.row(b, first + t);
      for (int64_t i = 0; i < packed.panels; ++i) {
        products_->run(x, tokens.token_stride, rows, D_, packed.tiles, i,
                       &scores_[(t * packed.panels + i) * kPanel], packed.panels * kPanel);
      }
    }
  }

  // Scores, and if asked for squares, of the tile's tokens t .. t + count - 1.
  template <Metric kMetric>
  void score(const Tokens<const scalar_t>& tokens, const PackedCentroids& packed, int64_t b,
             int64_t first, int t, int count, bool squares) {
    const bool in_place = std::is_same_v<scalar_t, float> && packed.panels <= 2;
    for (int64_t d = 0; d < D_; d += kDepth) {
      const int64_t depth = std::min<int64_t>(kDepth, D_ - d);
      const float* x = x_.data();
      int64_t stride = kDepth;
      if (in_place) {
        x = reinterpret_cast<const float*>(tokens.row(b, first + t) + d);
        stride = tokens.token_stride;
      } else {
        for (int r = 0; r < count; ++r)
          convert_row(tokens.row(b, first + t + r) + d, &x_[r * kDepth], depth);
      }
      run_widest(ScorePanels<kMetric>{x, stride, count, depth, packed.panel(0, d), D_ * kPanel,
                                      packed.panels, &scores_[t * packed.panels * kPanel]});
      if (squares) run_widest(AddSquares{x, stride, count, depth, &squares_[t * kPanel]});
    }
  }

  const int64_t D_, K_;
  std::vector<float> x_;                  // [kTile, kDepth]
  std::vector<float> scores_;             // [kTile, panels * 16]
  std::vector<float> squares_;            // [kTile, 16]
  std::vector<float> row_;                // [D]
  std::vector<const scalar_t*> members_;  // tokens, cluster by cluster
  std::vector<int64_t> starts_;           // [K + 1]
  std::unique_ptr<TileProducts> products_;
};

}  // namespace clusca
