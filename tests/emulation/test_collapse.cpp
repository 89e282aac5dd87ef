// The ops of many modules, emulated against the CPU kernels. Inputs are multiples of 1/8 up to 2,
// weights of 1/2 up to 4, gamma of 1/4: a module adds units of 1/128 up to 2^7, as many modules as
// one launch takes less than 2^14, so that every sum and product is exact in float32 in whatever
// order it is taken; the one rounding is that of the store. Hence: equal, bit for bit.
#include "cases.h"
#include "compare.h"
#include "kernels/collapsed_residual.h"
#include "sides.h"

namespace {

constexpr int kVariants = 4;
constexpr int kMostModules = clusca::CollapsedResidualParams<float, float>::kMaxModules;

constexpr Shape kShapes[] = {
    {0, 5, 2, 8},     // no batch rows
    {1, 0, 2, 8},     // no tokens
    {1, 1, 1, 1},     // one of everything
    {2, 7, 3, 3},     // rows shorter than a packet
    {3, 33, 5, 8},    // rows of one or two packets, a last block that is not full
    {1, 9, 40, 129},  // odd, longer than a block, more clusters than tokens
    {2, 4, 3, 520},   // float32 packets beyond one block
    {1, 3, 2, 1032},  // float16 packets beyond one block
};

int64_t draw_orders(Random& random) { return random.of<int64_t>({1, 2, 3, 5, 6, 8}); }

void fill_weights(Random& random, float (&values)[8]) {
  for (float& weight : values) weight = 0.5f * (random.below(17) - 8);
}

// [O + 1], [B, O + 1] or absent.
std::optional<Array> draw_weights(Random& random, int64_t orders, int64_t B, Layout layout) {
  const int64_t where = random.below(3);
  if (where == 0) return std::nullopt;
  Array weights = where == 1 ? Array(Format::kFloat, {orders}, layout)
                             : Array(Format::kFloat, {B, orders}, layout);
  random.fill(weights, 0.5, 4);
  return weights;
}

CarryArguments draw_carry(Random& random, const Shape& s, Format format, Layout layout) {
  const int64_t orders = draw_orders(random);
  // In half of the cases one array alone forbids packets: they are right only if all allow them.
  const int64_t odd_one = random.below(10);
  const auto of = [&](int i) { return i == odd_one ? without_packets(random) : layout; };
  CarryArguments a{s.B,
                   s.N,
                   s.K,
                   s.D,
                   Array(Format::kFloat, {s.B, s.K, s.D}, of(0)),
                   Array(Format::kFloat, {s.B, s.K, s.D}, of(1)),
                   Array(format, {orders, s.B, s.N, s.D}, of(2)),
                   Array(Format::kInt32, {s.B, s.K}, layout),
                   modulation(random, s, of(3)),
                   {},
                   draw_weights(random, orders, s.B, layout),
                   {}};
  for (Array* array : {&a.offset, &a.correction, &a.factors}) fill_and_spoil(random, *array);
  fill_indices(random, a.representatives, s.N);
  fill_weights(random, a.weight_values);
  if (random.one_in(2)) return a;
  a.computed =
      Array(random.of({Format::kFloat, Format::kHalf, Format::kBFloat16}), {s.B, s.K, s.D}, of(4));
  fill_and_spoil(random, *a.computed);
  return a;
}

CollapseArguments draw_collapse(Random& random, const Shape& s, const Format (&pair)[2],
                                Layout layout) {
  const int64_t orders = draw_orders(random);
  const bool is_small = s.B * s.N * s.D < 1000;
  const int64_t count = is_small && random.one_in(8) ? kMostModules : 1 + random.below(5);
  const int64_t odd_one = random.below(10), odd_module = random.below(count);
  const auto of = [&](int i) { return i == odd_one ? without_packets(random) : layout; };
  CollapseArguments a{s.B,
                      s.N,
                      s.D,
                      Array(pair[0], {s.B, s.N, s.D}, of(0)),
                      Array(pair[0], {s.B, s.N, s.D}, of(1)),
                      {},
                      {},
                      draw_learnt(random, s, of(5))};
  fill_and_spoil(random, a.x);
  fill_weights(random, a.weight_values);
  const Layout all = of(2);
  const bool by_tensor = random.one_in(2);
  for (int64_t m = 0; m < count; ++m) {
    // Of the same strides as all others, and yet the first element may be off 16 bytes.
    const bool is_shifted = odd_one == 3 && m == odd_module && all == Layout::kDense;
    const Layout gate_layout = m == odd_module ? of(4) : layout;
    a.modules.push_back(
        {Array(pair[1], {orders, s.B, s.N, s.D}, is_shifted ? Layout::kShifted : all),
         modulation(random, s, gate_layout),
         by_tensor ? draw_weights(random, orders, s.B, layout) : std::nullopt});
    fill_and_spoil(random, a.modules.back().factors);
  }
  return a;
}

// Sums of an earlier launch are added to, or overwritten; gates are one a batch row or one for all.
SumsArguments draw_sums(Random& random, const Shape& s, Format format, Layout layout) {
  const int64_t orders = draw_orders(random), S = 1 + random.below(8);
  const int64_t count = 1 + random.below(4);
  const int64_t odd_one = random.below(8), odd_module = random.below(count);
  const auto of = [&](int i) { return i == odd_one ? without_packets(random) : layout; };
  SumsArguments a{
      S, s.B, s.N, s.D, Array(Format::kFloat, {S, s.B, s.N, s.D}, of(0)), random.one_in(2), {}};
  random.fill(a.sums, 0.125, 2);
  const Layout all = of(1);
  for (int64_t m = 0; m < count; ++m) {
    const bool is_shifted = odd_one == 2 && m == odd_module && all == Layout::kDense;
    const Layout gate_layout = m == odd_module ? of(3) : layout;
    a.modules.push_back(
        {Array(format, {orders, s.B, s.N, s.D}, is_shifted ? Layout::kShifted : all), std::nullopt,
         Array(Format::kFloat, {S, orders}, layout)});
    ForecastArguments& module = a.modules.back();
    fill_and_spoil(random, module.factors);
    random.fill(module.weights, 0.5, 4);
    if (random.one_in(3)) continue;
    const int64_t rows = random.one_in(3) ? 1 : s.B;
    module.gate = Array(random.of({Format::kFloat, Format::kHalf, Format::kBFloat16}),
                        {S, rows, s.D}, gate_layout);
    fill_and_spoil(random, *module.gate);
  }
  return a;
}

void check_carry(const std::string& what, const CarryArguments& a) {
  CarryArguments emulated = a, expected = a;
  emulated::carry_representatives(emulated);
  cpu::carry_representatives(expected);
  compare(what + "offset", emulated.offset, expected.offset);
  compare(what + "correction", emulated.correction, expected.correction);
}

void check_collapse(const std::string& what, const CollapseArguments& a) {
  CollapseArguments emulated = a, expected = a;
  emulated::collapsed_residual(emulated);
  cpu::collapsed_residual(expected);
  compare(what + "out", emulated.out, expected.out);
}

void check_sums(const std::string& what, const SumsArguments& a) {
  SumsArguments emulated = a, expected = a;
  emulated::collapse_forecasts(emulated);
  cpu::collapse_forecasts(expected);
  compare(what + "sums", emulated.sums, expected.sums);
}

}  // namespace

void test_collapse() {
  Random random(5);
  for (const Shape& shape : kShapes) {
    for (const Layout layout : kLayouts) {
      for (int variant = 0; variant < kVariants; ++variant) {
        for (const Format format : kFloats) {
          check_carry(text("carry_representatives", shape, format, layout, variant),
                      draw_carry(random, shape, format, layout));
          check_sums(text("collapse_forecasts", shape, format, layout, variant),
                     draw_sums(random, shape, format, layout));
        }
        for (const auto& pair : kStreamPairs) {
          check_collapse(text("collapsed_residual", shape, pair[1], layout, variant),
                         draw_collapse(random, shape, pair, layout));
        }
      }
    }
  }
}
