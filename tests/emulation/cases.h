// What the cases of all families draw from.
#pragma once

#include <limits>
#include <optional>
#include <string>

#include "sides.h"

void test_formats();
void test_tokens();
void test_gather();
void test_collapse();
void test_lean();
void test_select();
void test_kmeans();
void test_kmeans_matrix();
void test_kmeans_cluster();

constexpr Format kFloats[] = {Format::kFloat, Format::kHalf, Format::kBFloat16};
constexpr Layout kLayouts[] = {Layout::kDense, Layout::kPadded, Layout::kSwapped, Layout::kSkewed};

// A stream, and what is summed for it.
constexpr Format kStreamPairs[][2] = {
    {Format::kFloat, Format::kFloat},       {Format::kFloat, Format::kHalf},
    {Format::kFloat, Format::kBFloat16},    {Format::kHalf, Format::kHalf},
    {Format::kBFloat16, Format::kBFloat16}, {Format::kHalf, Format::kFloat},
    {Format::kBFloat16, Format::kFloat},
};

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

// Multiples of 1/8 up to 2.
inline void fill_and_spoil(Random& random, Array& array) {
  random.fill(array, 0.125, 2);
  if (random.one_in(8)) spoil(random, array);
}

// A [D] of any format, or none.
inline std::optional<Array> affine(Random& random, int64_t D, Layout layout) {
  if (random.one_in(2)) return std::nullopt;
  Array values(random.of({Format::kFloat, Format::kHalf, Format::kBFloat16}), {D}, layout);
  random.fill(values, 0.125, 2);
  return values;
}

// What the clusters have learnt, or nothing; the correction's layout is given. Most tokens chosen
// at random belong to another cluster, so give some clusters one of their own.
inline LearntArguments draw_learnt(Random& random, const Shape& s, Layout layout) {
  LearntArguments a{s.K,
                    {},
                    Array(Format::kInt32, {s.B, s.K}, Layout::kPadded),
                    Array(Format::kInt32, {s.B, s.N}, Layout::kPadded),
                    {},
                    random.of({0.f, 0.25f, 1.f})};
  if (random.one_in(3)) return a;
  a.correction = Array(Format::kFloat, {s.B, s.K, s.D}, layout);
  fill_and_spoil(random, *a.correction);
  fill_indices(random, a.cluster_ids, s.K);
  fill_indices(random, a.representatives, s.N);
  for (int64_t i = 0; i < s.B * s.N; ++i) {
    const double k = a.cluster_ids.get(i);
    if (k < 0 || k >= s.K || !random.one_in(4)) continue;
    a.representatives.set(i / s.N * s.K + int64_t(k), i % s.N);
  }
  if (random.one_in(2)) return a;
  a.gamma = Array(Format::kFloat, {1});
  a.gamma->set(0, a.gamma_value);
  a.gamma_value = NAN;
  return a;
}
