// kmeans_assign, kmeans_step and kmeans_fit, emulated against the CPU kernels.
#include "cases.h"
#include "compare.h"
#include "sides.h"

namespace {

KmeansArguments draw(const Shape& s, Format format, Layout layout, Layout centroids,
                     int64_t max_iters) {
  const int64_t chunks = cpu::chunks_of(s.N, s.K);
  return {s.B,
          s.N,
          s.K,
          s.D,
          Array(format, {s.B, s.N, s.D}, layout),
          Array(Format::kFloat, {s.B, s.K, s.D}, centroids),
          false,
          kVectorKernel,
          Array(Format::kFloat, {cpu::workspace_of(s.B, s.K, s.D)}),
          Array(Format::kInt32, {s.B, s.N}),
          Array(Format::kFloat, {s.B, s.N}),
          Array(Format::kFloat, {s.B, chunks, s.K, s.D}),
          Array(Format::kInt32, {s.B, chunks, s.K}),
          Array(Format::kFloat, {s.B, s.K, s.D}),
          Array(Format::kInt32, {s.B, s.K}),
          max_iters,
          0.f,
          Array(Format::kFloat, {max_iters + 1, s.B, 2}),
          Array(Format::kInt32, {s.B})};
}

constexpr Shape kShapes[] = {
    {0, 5, 2, 8},     // no batch rows
    {2, 0, 3, 8},     // no tokens
    {1, 1, 1, 1},     // one of everything
    {3, 7, 40, 3},    // more clusters than tokens
    {2, 31, 16, 8},   // a tile but one, a panel
    {1, 65, 33, 65},  // one more than two tiles, two panels of both kinds and a depth
    {2, 300, 5, 64},  // two chunks
    {1, 550, 33, 3},  // three chunks, two panels
    {1, 330, 70, 6},  // more tokens of a chunk than are sorted at once, three panels
    {1, 40, 3, 129},  // odd, two slices of single channels
    {2, 20, 3, 520},  // three slices of pairs
    // Enough tokens for longer tiles of the assignment; the last row of channels is short.
    {48, 20, 18, 40},  // tiles of 16 tokens, two panels
    {32, 70, 5, 40},   // tiles of 32
};

// Multiples of 1/2 up to 4: every product and sum is exact in float32 on both sides, whatever its
// order and formula, ties included. So all must be equal.
void check_pass(Random& random, const Shape& shape, Format format, Layout layout, int variant,
                int kernel = kVectorKernel) {
  const Layout tokens = layout == Layout::kSkewed ? without_packets(random) : layout;
  KmeansArguments a = draw(shape, format, tokens, random.of({Layout::kDense, layout}), 0);
  const bool step = variant < 2;
  a.l1 = kernel == kVectorKernel && (step ? variant == 1 : random.one_in(2));
  a.kernel = kernel;
  random.fill(a.tokens, 0.5, 4);
  random.fill(a.centroids, 0.5, 4);
  if (random.one_in(3)) spoil(random, a.tokens);
  if (random.one_in(6)) spoil(random, a.centroids);
  KmeansArguments emulated = a, expected = a;
  (step ? emulated::kmeans_step : emulated::kmeans_assign)(emulated);
  (step ? cpu::kmeans_step : cpu::kmeans_assign)(expected);
  const std::string what =
      text(step ? "kmeans_step" : "kmeans_assign", shape, format, layout, variant);
  compare(what + "cluster_ids", emulated.cluster_ids, expected.cluster_ids);
  if (!step) compare(what + "distances", emulated.distances, expected.distances);  // returns none
  compare(what + "sums", emulated.sums, expected.sums);
  compare(what + "counts", emulated.counts, expected.counts);
}

constexpr Shape kFitShapes[] = {
    {0, 6, 3, 8},    {2, 0, 3, 8},    {1, 1, 1, 1},    {1, 6, 3, 1},
    {3, 50, 4, 3},   {3, 300, 7, 8},  {2, 60, 9, 129}, {1, 550, 33, 5},
    {3, 18, 40, 24}, {1, 2100, 4, 2},  // more tokens than a block counts
};

// More clusters than a block has counters. It takes as long as all others: once, few iterations.
constexpr Shape kManyClusters = {1, 30, 1030, 1};

// Where blobs of tokens lie on a line. From three of them Lloyd's algorithm takes 3 to 5
// iterations, and no blob is ever nearly as far from its second nearest centroid as from its own.
constexpr int kBlobs[] = {0, 25, 41, 50, 59, 111};

// Token n is in blob n % 6, jittered. Batch row b starts from blobs b, b + 1 and b + 2; further
// centroids are far away, on either side, or not finite. The workspace holds numbers that would end
// the iterations if they were read.
void fill_fit(Random& random, KmeansArguments& a) {
  const auto sign = [](int64_t d) { return d % 3 == 1 ? -1 : 1; };
  for (int64_t i = 0; i < a.tokens.count(); ++i) {
    const int64_t d = i % a.D, n = i / a.D % a.N;
    a.tokens.set(i, sign(d) * static_cast<double>(kBlobs[n % 6] + random.below(3) - 1));
  }
  for (int64_t i = 0; i < a.centroids.count(); ++i) {
    const int64_t d = i % a.D, k = i / a.D % a.K, b = i / a.D / a.K;
    const double far = 1000.0 + static_cast<double>(k), kind = static_cast<double>(k % 4);
    const double other = kind == 0 ? -far : kind == 1 ? far : kind == 2 ? NAN : INFINITY;
    a.centroids.set(i, sign(d) * (k < 3 ? kBlobs[b + k] : other));
  }
  if (random.one_in(3)) spoil(random, a.tokens);
  for (int64_t i = 0; i < a.moves.count(); ++i) a.moves.set(i, 1e6 * (i % 2));
}

// Sums of integers are exact, so that both sides divide the same numbers: labels, counts, centroids
// and iterations must be equal. Centroids then are no longer on a grid: a distance has D terms of
// relative error 3 * 2^-24 and D - 1 additions, on each side.
void check_fit(Random& random, const Shape& shape, Format format, Layout layout, int variant,
               int kernel = kVectorKernel, int64_t iterations = -1) {
  const int64_t max_iters = iterations < 0 ? random.of<int64_t>({0, 1, 2, 10, 10}) : iterations;
  KmeansArguments a = draw(shape, format, layout, Layout::kDense, max_iters);
  a.l1 = kernel == kVectorKernel && variant % 2;
  a.kernel = kernel;
  a.rtol = random.of({0.f, 1e-4f, 0.25f});
  fill_fit(random, a);
  KmeansArguments emulated = a, expected = a;
  emulated::kmeans_fit(emulated);
  cpu::kmeans_fit(expected);
  const std::string what = text("kmeans_fit", shape, format, layout, variant);
  const double bound = 2 * (static_cast<double>(shape.D) + 2) * 0x1p-24;
  compare(what + "cluster_ids", emulated.cluster_ids, expected.cluster_ids);
  compare(what + "distances", emulated.distances, expected.distances, {0, bound});
  compare(what + "centroids", emulated.centroids, expected.centroids);
  compare(what + "counts", emulated.counts, expected.counts);
  compare(what + "iterations", emulated.iterations, expected.iterations);
}

constexpr Shape kMatrixShapes[] = {
    {0, 5, 2, 8},      // no batch rows
    {2, 0, 3, 8},      // no tokens
    {1, 1, 1, 1},      // one of everything
    {3, 7, 40, 3},     // more clusters than tokens, part of a packet
    {2, 33, 16, 8},    // a tile and one, a panel, one packet
    {1, 20, 17, 136},  // a panel of 64, a stage and one packet
    {2, 40, 5, 600},   // more stages than there are at a time
    {1, 70, 70, 333},  // two panels of 64, two tiles, odd
};

// Tokens enough for the kernel of large tiles.
constexpr Shape kMany = {1, 16'400, 3, 8};

constexpr Shape kClusterShapes[] = {
    {0, 5, 2, 8},       // no batch rows
    {2, 0, 3, 8},       // no tokens
    {1, 1, 1, 8},       // one of everything, seven blocks without channels
    {2, 70, 16, 136},   // three tiles, the last block has a packet
    {1, 300, 20, 24},   // two chunks, more than 16 clusters
    {1, 20, 3, 2816},   // tiles of 16 tokens, for want of shared memory
    {1, 20, 32, 1664},  // the same of more clusters
};

}  // namespace

void test_kmeans() {
  Random random(4), starts(4);
  for (const Format format : kFloats) {
    for (const Shape& shape : kShapes) {
      for (int variant = 0; variant < 3; ++variant) {
        check_pass(random, shape, format, Layout::kDense, variant);
        check_pass(random, shape, format, kLayouts[random.below(4)], variant);
      }
    }
    for (const Shape& shape : kFitShapes) {
      for (int variant = 0; variant < 2; ++variant) {
        check_fit(starts, shape, format, kLayouts[starts.below(4)], variant);
      }
    }
  }
  check_fit(starts, kManyClusters, Format::kFloat, Layout::kDense, 0, kVectorKernel, 2);
}

void test_kmeans_matrix() {
  Random random(5);
  for (const Format format : {Format::kHalf, Format::kBFloat16}) {
    for (const Shape& shape : kMatrixShapes) {
      for (const int variant : {0, 2}) {
        check_pass(random, shape, format, kLayouts[random.below(4)], variant, kMatrixKernel);
        check_pass(random, shape, format, Layout::kDense, variant, kMatrixKernel);
      }
    }
    for (const Shape& shape : kFitShapes) {
      check_fit(random, shape, format, kLayouts[random.below(4)], 0, kMatrixKernel);
    }
    for (const Layout layout : {Layout::kDense, Layout::kSkewed}) {
      check_pass(random, kMany, format, layout, 0, kMatrixKernel);
    }
  }
  check_fit(random, kManyClusters, Format::kHalf, Layout::kDense, 0, kMatrixKernel, 2);
}

void test_kmeans_cluster() {
  Random random(6);
  for (const Format format : {Format::kHalf, Format::kBFloat16}) {
    for (const Shape& shape : kClusterShapes) {
      const Layout layout = random.of({Layout::kDense, Layout::kPadded, Layout::kSwapped});
      check_pass(random, shape, format, layout, 0, kClusterKernel);
      if (shape.D < 256) check_fit(random, shape, format, layout, 0, kClusterKernel);
    }
  }
}
