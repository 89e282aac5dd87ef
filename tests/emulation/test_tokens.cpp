// The token ops, emulated against the CPU kernels. Every input is a multiple of 1/8 up to 2 or of
// 1/2 up to 4, so that every sum and product is exact in float32 (units of 1/512 up to 2^7) in
// whatever order it is taken; the one rounding is that of the store. Hence: equal, bit for bit.
#include "cases.h"
#include "compare.h"
#include "sides.h"

namespace {

constexpr int kVariants = 6;

constexpr Shape kShapes[] = {
    {0, 5, 2, 8},     // no batch rows
    {1, 0, 2, 8},     // no tokens
    {1, 1, 1, 1},     // one of everything
    {2, 7, 3, 3},     // rows shorter than a packet
    {3, 33, 5, 8},    // rows of one or two packets, a last block that is not full
    {2, 70, 9, 24},   // rows shorter than a warp
    {1, 9, 40, 129},  // odd, longer than a block, more clusters than tokens
    {2, 4, 3, 520},   // float32 packets beyond one block
    {1, 3, 2, 1032},  // float16 packets beyond one block
};

constexpr Format kPairs[][2] = {
    {Format::kFloat, Format::kFloat},       {Format::kFloat, Format::kHalf},
    {Format::kFloat, Format::kBFloat16},    {Format::kHalf, Format::kHalf},
    {Format::kBFloat16, Format::kBFloat16},
};

void fill(Random& random, TokenArguments& a) {
  for (Array* array : {&a.x, &a.factors, &a.feature, &a.computed}) {
    random.fill(*array, 0.125, 2);
    if (random.one_in(6)) spoil(random, *array);
  }
  fill_indices(random, a.cluster_ids, a.K);
  fill_indices(random, a.representatives, a.N);
  // Most tokens chosen at random belong to another cluster; give some clusters one of their own.
  for (int64_t b = 0; b < a.B; ++b) {
    for (int64_t n = 0; n < a.N; ++n) {
      const double k = a.cluster_ids.get(b * a.N + n);
      if (k >= 0 && k < a.K && random.one_in(4)) a.representatives.set(b * a.K + int64_t(k), n);
    }
  }
  if (a.weights) random.fill(*a.weights, 0.5, 4);
  for (float& weight : a.weight_values) weight = 0.5f * (random.below(17) - 8);
  if (random.one_in(2)) {
    a.gamma = Array(Format::kFloat, {1});
    a.gamma->set(0, a.gamma_value);
    a.gamma_value = NAN;
  }
}

TokenArguments draw(Random& random, const Shape& s, const Format (&pair)[2], Layout layout) {
  const int64_t orders = random.of<int64_t>({1, 2, 3, 4, 5, 6, 8});
  // In half of the cases one array alone forbids packets: they are right only if all allow them.
  const int64_t odd_one = random.below(12);
  const auto of = [&](int i) { return i == odd_one ? without_packets(random) : layout; };
  const auto any = [&] { return random.of({Format::kFloat, Format::kHalf, Format::kBFloat16}); };
  TokenArguments a{s.B,
                   s.N,
                   s.K,
                   s.D,
                   Array(pair[0], {s.B, s.N, s.D}, of(0)),
                   Array(pair[1], {orders, s.B, s.N, s.D}, of(1)),
                   Array(any(), {s.B, s.N, s.D}, of(2)),
                   modulation(random, s, of(3)),
                   Array(any(), {s.B, s.K, s.D}, of(4)),
                   Array(Format::kInt32, {s.B, s.K}, layout),
                   Array(Format::kInt32, {s.B, s.N}, layout),
                   Array(Format::kFloat, {s.B, s.K, s.D}),
                   Array(pair[1], {s.B, s.N, s.D}, of(5)),
                   {},
                   {},
                   {},
                   random.of({0.f, 0.25f, 1.f}),
                   random.one_in(2),
                   {},
                   {}};
  const int64_t where = random.below(3);
  if (where == 1) a.weights = Array(Format::kFloat, {orders}, layout);
  if (where == 2) a.weights = Array(Format::kFloat, {s.B, orders}, layout);
  fill(random, a);
  return a;
}

void check(const std::string& what, const TokenArguments& a, void (*emulation)(TokenArguments&),
           void (*kernel)(TokenArguments&)) {
  TokenArguments emulated = a, expected = a;
  emulation(emulated);
  kernel(expected);
  compare(what + "x", emulated.x, expected.x);
  compare(what + "factors", emulated.factors, expected.factors);
  compare(what + "correction", emulated.correction, expected.correction);
  compare(what + "out", emulated.out, expected.out);
}

// Orders history does not reach hold NaN, which nothing may read.
TokenArguments with_history(Random& random, TokenArguments a) {
  const int64_t orders = a.factors.size(0), known = random.below(orders);
  if (random.one_in(2) && orders > 1) a.rates = Array(Format::kFloat, {orders - 1});
  for (int64_t i = 0; i + 1 < orders; ++i) {
    const float rate = i < known ? random.of({1.f, 0.5f, -0.5f, 0.25f}) : 0.f;
    a.rate_values[i] = a.rates ? NAN : rate;
    if (a.rates) a.rates->set(i, rate);
  }
  const int64_t tokens = a.B * a.N * a.D;
  for (int64_t i = known * tokens; i < orders * tokens; ++i) a.factors.set(i, NAN);
  return a;
}

}  // namespace

#define CLUSCA_CHECK(op, arguments) \
  check(text(#op, shape, pair[1], layout, variant), arguments, emulated::op, cpu::op)

void test_tokens() {
  Random random(1);
  for (const Shape& shape : kShapes) {
    for (const auto& pair : kPairs) {
      for (const Layout layout : kLayouts) {
        for (int variant = 0; variant < kVariants; ++variant) {
          const TokenArguments a = draw(random, shape, pair, layout);
          CLUSCA_CHECK(forecast_residual, a);
          CLUSCA_CHECK(propagate_residual, a);
          CLUSCA_CHECK(taylor_forecast, a);
          CLUSCA_CHECK(cluster_propagate, a);
          CLUSCA_CHECK(propagate_factors, a);
          CLUSCA_CHECK(taylor_update, with_history(random, a));
        }
      }
    }
  }
}
