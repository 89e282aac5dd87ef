// CPU kernel of collapse_forecasts_; the equation is in collapse_forecasts.h.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/collapse_forecasts.h"
#include "kernels/token_row_cpu.h"
#include "kernels/vectors_cpu.h"

namespace clusca {

// Modules pass over a tile of tokens times channels whose sums of all steps stay in the first
// cache. Tokens share the gates, and a piece of a row is long enough to be read at full speed.
constexpr int64_t kTile = 1024, kPiece = 256;

struct Tile {
  int64_t b, n, tokens, d, size;
};

// A piece of a row of kCount factors, and what it adds to: its sums and gates of all steps.
struct Piece {
  float* sums;         // steps kTile apart
  const float* gates;  // steps kPiece apart
  const float* const* factors;
  const float* weights;  // [steps, count]
  int64_t weights_stride, size;
};

// sums[s] += gates[s] * sum_i weights[s, i] * factors[i] for kSteps steps: factors are loaded once.
template <int kCount, int kSteps>
struct AddForecasts {
  const Piece& p;

  template <int kWidth>
  CLUSCA_INLINE void run() const {
    using Vector = VectorOf<kWidth>;
    int64_t d = 0;
    for (; d + kWidth <= p.size; d += kWidth) {
      add<typename Vector::Floats>(d, Vector::load, Vector::store);
    }
    const auto load = [](const float* from) { return *from; };
    const auto store = [](float* to, float value) { *to = value; };
    for (; d < p.size; ++d) add<float>(d, load, store);
  }

  template <typename Floats, typename Load, typename Store>
  CLUSCA_INLINE void add(int64_t d, const Load& load, const Store& store) const {
    Floats factors[kCount];
    for (int i = 0; i < kCount; ++i) factors[i] = load(p.factors[i] + d);
#pragma GCC unroll 4
    for (int s = 0; s < kSteps; ++s) {
      const float* weights = p.weights + s * p.weights_stride;
      Floats sum = weights[0] * factors[0];
      for (int i = 1; i < kCount; ++i) sum += weights[i] * factors[i];
      float* sums = p.sums + s * kTile + d;
      store(sums, load(sums) + load(p.gates + s * kPiece + d) * sum);
    }
  }
};

template <int kCount>
void add_steps(Piece p, int steps) {
  for (; steps > 0; steps -= 3) {
    if (steps == 1) return run_widest(AddForecasts<kCount, 1>{p});
    if (steps == 2) return run_widest(AddForecasts<kCount, 2>{p});
    run_widest(AddForecasts<kCount, 3>{p});
    p.sums += 3 * kTile, p.gates += 3 * kPiece, p.weights += 3 * p.weights_stride;
  }
}

// Of as many factors as there are, two at a time as on a device.
inline void add_factors(Piece p, int count, int steps) {
  for (; count >= 2; count -= 2, p.factors += 2, p.weights += 2) add_steps<2>(p, steps);
  if (count == 1) add_steps<1>(p, steps);
}

// A task's memory for a tile: sums [S, kTile], gates [S, kPiece], factors [O + 1, kPiece].
struct TileScratch {
  std::vector<float> sums, gates, factors;

  TileScratch(int steps, int orders)
      : sums(steps * kTile), gates(steps * kPiece), factors(orders * kPiece) {}
};

// All modules over one tile. `next` is the tile that follows: its factors are asked for, which no
// prefetcher would see among so many short pieces.
template <typename f_t>
void sum_tile(const CollapseForecastsParams<f_t>& p, const Tile& tile, const Tile& next,
              TileScratch& scratch) {
  const float* factors[Weights::kMaxFactors];
  for (int m = 0; m < p.count; ++m) {
    const Rows gate = p.gate(m);
    for (int s = 0; s < p.steps; ++s) {
      float* to = scratch.gates.data() + s * kPiece;
      if (!gate.data) {
        std::fill_n(to, tile.size, 1.f);
        continue;
      }
      Rows piece = gate;
      const int64_t size = gate.dtype == Dtype::kFloat ? 4 : 2;
      piece.data = static_cast<const char*>(gate.data) + tile.d * size;
      const float* from = float_row(piece, s, tile.b, to, tile.size);
      if (from != to) std::copy_n(from, tile.size, to);
    }
    for (int64_t t = 0; t < tile.tokens; ++t) {
      for (int i = 0; i < p.orders; ++i) {
        const f_t* row = p.factor(m, i, tile.b, tile.n + t) + tile.d;
        factors[i] = as_floats(row, scratch.factors.data() + i * kPiece, tile.size);
        if (t < next.tokens) {
          prefetch_row<2>(p.factor(m, i, next.b, next.n + t) + next.d, next.size);
        }
      }
      float* sums = scratch.sums.data() + t * tile.size;
      add_factors({sums, scratch.gates.data(), factors, p.modules[m].weights,
                   p.modules[m].weights_step_stride, tile.size},
                  p.orders, p.steps);
    }
  }
}

template <typename f_t, typename Pool>
void launch_collapse_forecasts(const CollapseForecastsParams<f_t>& p, const Pool& pool) {
  const int64_t piece = std::min(p.D, kPiece), tokens = kTile / piece;
  const int64_t pieces = (p.D + piece - 1) / piece, groups = (p.N + tokens - 1) / tokens;
  const auto tile_of = [&](int64_t index) {
    const int64_t d = index % pieces * piece, n = index / pieces % groups * tokens;
    return Tile{index / pieces / groups, n, std::min(tokens, p.N - n), d, std::min(piece, p.D - d)};
  };
  const size_t bytes = sizeof(float) * p.steps * p.B * p.N * p.D;
  const bool past_caches = bytes > kCacheBytes;
  pool(p.B * groups * pieces, 8, [&](int64_t begin, int64_t end) {
    TileScratch scratch(p.steps, p.orders);
    for (int64_t index = begin; index < end; ++index) {
      const Tile tile = tile_of(index);
      Tile next{};
      if (index + 1 < end) next = tile_of(index + 1);
      const auto each_row = [&](const auto& move) {
        for (int s = 0; s < p.steps; ++s) {
          for (int64_t t = 0; t < tile.tokens; ++t) {
            move(scratch.sums.data() + s * kTile + t * tile.size,
                 p.sums.row(s, tile.b, tile.n + t) + tile.d);
          }
        }
      };
      if (p.adds) {
        each_row([&](float* sums, const float* row) { std::copy_n(row, tile.size, sums); });
      } else {
        std::fill(scratch.sums.begin(), scratch.sums.end(), 0.f);
      }
      sum_tile(p, tile, next, scratch);
      each_row([&](const float* sums, float* row) {
        past_caches ? store_past_caches(sums, row, tile.size)
                    : void(std::copy_n(sums, tile.size, row));
      });
    }
    if (past_caches) stored_past_caches();
  });
}

}  // namespace clusca
