// What the cases of all families draw from.
#pragma once

#include <limits>
#include <optional>
#include <string>

#include "array.h"

void test_formats();
void test_tokens();
void test_gather();
void test_collapse();
void test_select();
void test_kmeans();

constexpr Format kFloats[] = {Format::kFloat, Format::kHalf, Format::kBFloat16};
constexpr Layout kLayouts[] = {Layout::kDense, Layout::kPadded, Layout::kSwapped, Layout::kSkewed};

struct Shape {
  int64_t B, N, K, D;
};

inline std::string text(const char* op, const Shape& s, Format format, Layout layout, int variant) {
  const char* formats[] = {"float32", "float16", "bfloat16"};
  const char* layouts[] = {"dense", "padded", "swapped", "skewed"};
  return std::string(op) + " B=" + std::to_string(s.B) + " N=" + std::to_string(s.N) +
         " K=" + std::to_string(s.K) + " D=" + std::to_string(s.D) + " " +
         formats[static_cast<int>(format)] + " " + layouts[static_cast<int>(layout)] + " #" +
         std::to_string(variant) + ": ";
}

// One of the layouts that forbid packets, each for a reason of its own.
inline Layout without_packets(Random& random) {
  return random.of({Layout::kSkewed, Layout::kSplit, Layout::kShifted});
}

// Mostly in [0, n), sometimes not.
inline void fill_indices(Random& random, Array& array, int64_t n) {
  for (int64_t i = 0; i < array.count(); ++i) {
    const bool bad = n == 0 || random.one_in(8);
    const int64_t wrong = random.of<int64_t>(
        {-1, n, n + 1, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()});
    array.set(i, static_cast<double>(bad ? wrong : random.below(n)));
  }
}

// A gate, shift or scale: absent, [B, D], [B, 1, D] or [B, N, D], in any format.
inline std::optional<Array> modulation(Random& random, const Shape& s, Layout layout) {
  const Format format = random.of({Format::kFloat, Format::kHalf, Format::kBFloat16});
  const int64_t kind = random.below(4);
  if (kind == 0) return std::nullopt;
  Array rows = kind == 1   ? Array(format, {s.B, s.D}, layout)
               : kind == 2 ? Array(format, {s.B, 1, s.D}, layout)
                           : Array(format, {s.B, s.N, s.D}, layout);
  random.fill(rows, 0.125, 2);
  return rows;
}

// NaN and infinities in a few places.
inline void spoil(Random& random, Array& array) {
  for (int i = 0; i < 3 && array.count() > 0; ++i) {
    array.set(random.below(array.count()), random.of<double>({NAN, INFINITY, -INFINITY}));
  }
}
