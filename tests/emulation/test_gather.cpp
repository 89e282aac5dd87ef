// gather_representatives, emulated against the CPU kernel. A token's row is a constant plus values
// that cancel in pairs, all multiples of 1/8, and so is its offset, so that its mean, and the sums
// both sides take for its variance, are exact in whatever order. What follows is one division, one
// root and six operations an element.
#include "cases.h"
#include "compare.h"
#include "sides.h"

namespace {

constexpr int kVariants = 4;

constexpr Shape kShapes[] = {
    {0, 5, 2, 8},     // no batch rows
    {2, 0, 3, 8},     // no tokens
    {1, 1, 1, 1},     // one of everything
    {2, 7, 3, 3},     // rows shorter than a packet
    {3, 33, 5, 8},    // rows of one or two packets
    {1, 9, 12, 129},  // odd, more clusters than tokens
    {2, 4, 3, 1032},  // float32 packets beyond one block
    {1, 3, 2, 2056},  // float16 packets beyond one block
};

void fill_tokens(Random& random, Array& tokens) {
  const int64_t D = tokens.size(2);
  for (int64_t row = 0; row * D < tokens.count(); ++row) {
    const double mean = 0.125 * (random.below(17) - 8);
    for (int64_t d = 0; d < D; ++d) {
      const double away = d == D - 1 - d ? 0 : 0.125 * (random.below(17) - 8);
      tokens.set(row * D + d, mean + away);
      tokens.set(row * D + D - 1 - d, mean - away);
      if (d > D / 2) break;
    }
  }
}

GatherArguments draw(Random& random, const Shape& s, Format format, Layout layout) {
  // In half of the cases one array alone forbids packets: they are right only if all allow them.
  const int64_t odd_one = random.below(12);
  const auto of = [&](int i) { return i == odd_one ? without_packets(random) : layout; };
  GatherArguments a{s.B,
                    s.N,
                    s.K,
                    s.D,
                    Array(format, {s.B, s.N, s.D}, of(0)),
                    Array(Format::kInt32, {s.B, s.K}, layout),
                    modulation(random, s, of(1)),
                    modulation(random, s, of(2)),
                    affine(random, s.D, of(3)),
                    affine(random, s.D, of(4)),
                    static_cast<int>(random.below(3)),
                    {},
                    random.of({1e-6f, 0.5f}),
                    Array(format, {s.B, s.K, s.D}),
                    Array(format, {s.B, s.K, s.D})};
  fill_tokens(random, a.tokens);
  if (random.one_in(6)) spoil(random, a.tokens);
  fill_indices(random, a.representatives, s.N);
  if (random.one_in(2)) {
    a.offset = Array(Format::kFloat, {s.B, s.K, s.D}, of(5));
    fill_tokens(random, *a.offset);
  }
  return a;
}

// |y| <= sqrt(D) after a norm and <= 4 without, weight, bias, scale and shift <= 2: no value on the
// way exceeds `largest`, each of at most ten operations is off by 2^-24 of it, on both sides. One
// unit in the last place of the output where that moves a value across a rounding boundary.
Tolerance tolerance_of(const GatherArguments& a) {
  const double largest = (2 * std::max(4.0, std::sqrt(a.D)) + 2) * 3 + 2;
  const double last_place = a.tokens.format == Format::kFloat  ? 0x1p-23
                            : a.tokens.format == Format::kHalf ? 0x1p-10
                                                               : 0x1p-7;
  return {2 * 10 * 0x1p-24 * largest, last_place};
}

}  // namespace

void test_gather() {
  Random random(2);
  for (const Shape& shape : kShapes) {
    for (const Format format : kFloats) {
      for (const Layout layout : kLayouts) {
        for (int variant = 0; variant < kVariants; ++variant) {
          const GatherArguments a = draw(random, shape, format, layout);
          GatherArguments emulated = a, expected = a;
          emulated::gather_representatives(emulated);
          cpu::gather_representatives(expected);
          const std::string what = text("gather_representatives", shape, format, layout, variant);
          compare(what + "rows", emulated.rows, expected.rows);
          compare(what + "modulated", emulated.modulated, expected.modulated, tolerance_of(a));
        }
      }
    }
  }
}
