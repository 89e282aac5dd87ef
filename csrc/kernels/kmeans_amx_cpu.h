// The CPU's k-means scores of bfloat16 tokens by matrix tiles (AMX), where there are any: products
// of bfloat16, summed in float32. A centroid's float32 is three bfloat16 of eight bits each, so
// that nothing of it is lost. (Of float32 tokens, split as well, it does not pay.)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/amx_cpu.h"
#include "kernels/tensors.h"

namespace clusca {

constexpr int kParts = 3;  // of a float32

// The parts of a float32, the largest first: x = first + second + third.
CLUSCA_INLINE void split(float x, uint16_t* parts, int64_t stride) {
  for (int i = 0; i < kParts; ++i) {
    const uint32_t top = float_bits(x) & 0xffff0000u;
    parts[i * stride] = static_cast<uint16_t>(top >> 16);
    x -= bits_float(top);
  }
}

CLUSCA_CLONES inline void split_row(const float* from, float scale, uint16_t* parts, int64_t stride,
                                    int64_t size) {
#pragma GCC ivdep
  for (int64_t d = 0; d < size; ++d) split(scale * from[d], parts + d, stride);
}

// The largest magnitude of finite values, by their bits, which compare as magnitudes do.
CLUSCA_CLONES inline float largest_of(const float* row, int64_t size) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  uint32_t largest = 0;
  for (int64_t d = 0; d < size; ++d) {
    const uint32_t value = float_bits(row[d]) & 0x7fffffffu;
    largest = std::max(largest, value < kInfinity ? value : 0u);
  }
  return bits_float(largest);
}

#ifdef CLUSCA_HAS_AMX
typedef uint32_t Lanes __attribute__((vector_size(64)));

// One of the steps of a transposition: blocks of kSize x kSize off the diagonal change places.
template <int kSize>
__attribute__((target("arch=x86-64-v4"), always_inline)) inline void exchange(Lanes* rows) {
  Lanes upper, lower;
  for (unsigned j = 0; j < kTileRows; ++j) {
    upper[j] = j & kSize ? kTileRows + (j ^ kSize) : j;
    lower[j] = j & kSize ? kTileRows + j : j ^ kSize;
  }
  for (int i = 0; i < kTileRows; ++i) {
    if (i & kSize) continue;
    const Lanes a = rows[i], b = rows[i + kSize];
    rows[i] = __builtin_shuffle(a, b, upper), rows[i + kSize] = __builtin_shuffle(a, b, lower);
  }
}

// to[pair, row] <- from[row, pair], of sixteen rows of sixteen pairs.
__attribute__((target("arch=x86-64-v4"))) inline void transpose_pairs(const uint16_t* from,
                                                                      int64_t stride,
                                                                      uint16_t* to) {
  Lanes rows[kTileRows];
  for (int k = 0; k < kTileRows; ++k) std::memcpy(&rows[k], from + k * stride, sizeof(Lanes));
  exchange<8>(rows);
  exchange<4>(rows);
  exchange<2>(rows);
  exchange<1>(rows);
  std::memcpy(to, rows, sizeof rows);
}
#else
inline void transpose_pairs(const uint16_t*, int64_t, uint16_t*) {}
#endif

// The centroids of one batch row in parts, laid out for tiles: [ceil(K / 16)][ceil(D / 32)][parts]
// of [16 pairs of channels][16 clusters][2], zeros beyond K and D. Tiles take what is denormal for
// zero: a panel is scaled by a power of two, so that no part and no product of a centroid that
// matters is, and none overflows with a token whose square does not.
class CentroidTiles {
 public:
  CentroidTiles() = default;
  CentroidTiles(int64_t K, int64_t D)
      : steps((D + kTileDepth - 1) / kTileDepth),
        values_((K + kTileRows - 1) / kTileRows * steps * kParts * kTileSize + 32),
        unscales_((K + kTileRows - 1) / kTileRows) {}

  void pack(const Tokens<const float>& centroids, int64_t b, int64_t panel, int64_t K, int64_t D) {
    const int64_t first = panel * kTileRows, padded = steps * kTileDepth;
    const int64_t count = std::min<int64_t>(kTileRows, K - first);
    float largest = 0.f;
    for (int64_t k = 0; k < count; ++k) {
      largest = std::max(largest, largest_of(centroids.row(b, first + k), D));
    }
    const int exponent = largest > 0.f ? std::clamp(40 - std::ilogb(largest), -100, 100) : 0;
    unscales_[panel] = std::ldexp(1.f, -exponent);
    const int64_t part_stride = kTileRows * padded;
    std::vector<uint16_t> parts(kParts * part_stride);
    for (int64_t k = 0; k < count; ++k) {
      split_row(centroids.row(b, first + k), std::ldexp(1.f, exponent), &parts[k * padded],
                part_stride, D);
    }
    for (int64_t step = 0; step < steps; ++step) {
      for (int i = 0; i < kParts; ++i) {
        const uint16_t* from = &parts[i * part_stride + step * kTileDepth];
        transpose_pairs(from, padded, const_cast<uint16_t*>(tile(panel, step, i)));
      }
    }
  }

  const uint16_t* tile(int64_t panel, int64_t step, int part) const {
    const auto address = reinterpret_cast<uintptr_t>(values_.data());
    const uint16_t* aligned = reinterpret_cast<const uint16_t*>((address + 63) / 64 * 64);
    return aligned + ((panel * steps + step) * kParts + part) * kTileSize;
  }

  // What products of a panel are to be multiplied by.
  float unscale(int64_t panel) const { return unscales_[panel]; }

  int64_t steps = 0;

 private:
  std::vector<uint16_t> values_;
  std::vector<float> unscales_;
};

#ifdef CLUSCA_HAS_AMX

// Subtracts from scores [r, k] the products of up to 64 tokens and the sixteen centroids of a
// panel. Tiles 0 to 3 hold the sums of sixteen tokens each, 4 to 6 the parts of centroids, 7
// tokens. Sums begin anew now and then, as those of vectors do: a long sum rounds more.
class TileProducts {
 public:
  static constexpr int kTokens = 4 * kTileRows;
  // x [tokens, D], scores [tokens, 16]
  void run(const bfloat16_t* x, int64_t x_stride, int64_t tokens, int64_t D,
           const CentroidTiles& centroids, int64_t panel, float* scores, int64_t scores_stride) {
    for (int64_t first = 0; first < centroids.steps; first += kSteps) {
      const int64_t last = std::min(first + kSteps, centroids.steps);
      multiply(x, x_stride, tokens, D, centroids, panel, first, last);
      for (int64_t r = 0; r < tokens; ++r) {
        float* to = scores + r * scores_stride;
        const float* from = products_ + r * kTileRows;
        for (int k = 0; k < kTileRows; ++k) to[k] -= centroids.unscale(panel) * from[k];
      }
    }
  }

 private:
  static constexpr int64_t kRowBytes = 64;
  static constexpr int64_t kSteps = 16;  // of kTileDepth channels, after which sums begin anew

  void multiply(const bfloat16_t* x, int64_t x_stride, int64_t tokens, int64_t D,
                const CentroidTiles& centroids, int64_t panel, int64_t first_step,
                int64_t last_step) {
    const int64_t groups = (tokens + kTileRows - 1) / kTileRows;
    const auto each_group = [&](const auto& each) {
      each(std::integral_constant<int, 0>());
      if (groups > 1) each(std::integral_constant<int, 1>());
      if (groups > 2) each(std::integral_constant<int, 2>());
      if (groups > 3) each(std::integral_constant<int, 3>());
    };
    each_group([](auto g) { Tiles::clear<g>(); });
    for (int64_t step = first_step; step < last_step; ++step) {
      const int64_t d = step * kTileDepth;
      const uint16_t* columns = centroids.tile(panel, step, 0);
      Tiles::load<4>(columns, kRowBytes);
      Tiles::load<5>(columns + kTileSize, kRowBytes);
      Tiles::load<6>(columns + 2 * kTileSize, kRowBytes);
      each_group([&](auto g) {
        const int64_t first = g * kTileRows;
        load_tokens(x + first * x_stride + d, x_stride, tokens - first, D - d);
        Tiles::multiply<g, 7, 6>();
        Tiles::multiply<g, 7, 5>();
        Tiles::multiply<g, 7, 4>();
      });
    }
    each_group([&](auto g) { Tiles::store<g>(products_ + g * kTileRows * kTileRows, kRowBytes); });
  }

  // Where sixteen tokens of thirty-two channels do not all exist, zeros stand for them.
  CLUSCA_INLINE void load_tokens(const bfloat16_t* x, int64_t x_stride, int64_t tokens,
                                 int64_t depth) {
    if (tokens >= kTileRows && depth >= kTileDepth) {
      return Tiles::load<7>(x, x_stride * sizeof(bfloat16_t));
    }
    std::fill_n(scratch_, kTileSize, bfloat16_t{0});
    for (int64_t r = 0; r < std::min<int64_t>(tokens, kTileRows); ++r) {
      std::copy_n(x + r * x_stride, std::min<int64_t>(depth, kTileDepth),
                  scratch_ + r * kTileDepth);
    }
    Tiles::load<7>(scratch_, kRowBytes);
  }

  const Tiles tiles_;  // configured as long as this lives
  bfloat16_t scratch_[kTileSize];
  float products_[kTokens * kTileRows];
};

#else

struct TileProducts {
  static constexpr int kTokens = kTileRows;

  void run(const bfloat16_t*, int64_t, int64_t, int64_t, const CentroidTiles&, int64_t, float*,
           int64_t) {}
};

#endif

}  // namespace clusca
