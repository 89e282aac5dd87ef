// The ops of lean storage, emulated against the CPU kernels. Inputs are multiples of 1/8 up to 2,
// weights of 1/2 up to 4, gamma of 1/4: sums of a token are units of 1/32 up to 2^6, and all of a
// row less than 2^18, so that they and a row's mean are the same in whatever order they are taken.
// Without a norm or what modulates, hence: equal, bit for bit.
#include <algorithm>
#include <cmath>

#include "cases.h"
#include "compare.h"
#include "sides.h"

namespace {

constexpr int kVariants = 4;

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

LeanAccumulateArguments draw_features(Random& random, const Shape& s, Format format,
                                      Layout layout) {
  const int64_t C = 1 + random.below(5);
  // In half of the cases one array alone forbids packets: they are right only if all allow them.
  const int64_t odd_one = random.below(6);
  const auto of = [&](int i) { return i == odd_one ? without_packets(random) : layout; };
  LeanAccumulateArguments a{C,
                            s.B,
                            s.N,
                            s.D,
                            Array(Format::kFloat, {C, s.B, s.N, s.D}, of(0)),
                            Array(format, {s.B, s.N, s.D}, of(1)),
                            Array(Format::kFloat, {C, s.B, s.D}, of(2))};
  random.fill(a.accumulators, 0.125, 2);
  fill_and_spoil(random, a.feature);
  random.fill(a.phi, 0.125, 2);
  return a;
}

// A number a batch row, some of them 0 and their sums not to be read; or a number a channel.
void fill_weights(Random& random, LeanOutputArguments& a) {
  random.fill(a.weights, 0.5, 4);
  if (a.weights.sizes.size() == 3) return;
  for (int64_t j = 0; j < a.J; ++j) {
    for (int64_t b = 0; b < a.B; ++b) {
      if (!random.one_in(3)) continue;
      a.weights.set(a.is_turned ? b * a.J + j : j * a.B + b, random.of({0., -0.}));
      const int64_t size = a.N * a.D, begin = (j * a.B + b) * size;
      for (int64_t i = begin; i < begin + size; ++i) a.sums.set(i, NAN);
    }
  }
}

LeanOutputArguments draw_output(Random& random, const Shape& s, const Format (&pair)[2],
                                Layout layout) {
  const int64_t J = 1 + random.below(5);
  const bool by_channel = random.one_in(3), is_turned = !by_channel && random.one_in(2);
  const int64_t odd_one = random.below(16);
  const auto of = [&](int i) { return i == odd_one ? without_packets(random) : layout; };
  LeanOutputArguments a{J,
                        s.B,
                        s.N,
                        s.D,
                        Array(pair[0], {s.B, s.N, s.D}, of(0)),
                        Array(pair[0], {s.B, s.N, s.D}),
                        Array(pair[1], {J, s.B, s.N, s.D}, of(1)),
                        by_channel  ? Array(Format::kFloat, {J, s.B, s.D}, of(2))
                        : is_turned ? Array(Format::kFloat, {s.B, J}, layout)
                                    : Array(Format::kFloat, {J, s.B}, layout),
                        is_turned,
                        draw_learnt(random, s, of(3)),
                        {},
                        {},
                        {},
                        {},
                        2,
                        random.of({1e-3f, 0.5f})};
  fill_and_spoil(random, a.x);
  fill_and_spoil(random, a.sums);
  fill_weights(random, a);
  if (random.one_in(2)) return a;
  a.norm = static_cast<int>(random.below(3));
  a.shift = modulation(random, s, of(4)), a.scale = modulation(random, s, of(5));
  a.weight = affine(random, s.D, of(6)), a.bias = affine(random, s.D, of(7));
  return a;
}

// |y| <= sqrt(D) after a norm and < 2^6 without, weight, bias, scale and shift <= 2: no value on
// the way exceeds `largest`, each of at most ten operations is off by 2^-24 of it, on both sides.
// The squares of a row are summed in at most D / 16 + 64 additions, each off by as much of the sum.
// One unit in the last place of the output where that moves a value across a rounding boundary.
Tolerance tolerance_of(const LeanOutputArguments& a) {
  if (a.norm == 2 && !a.shift && !a.scale && !a.weight && !a.bias) return {};
  const double largest = (2 * std::max(64.0, std::sqrt(a.D)) + 2) * 3 + 2;
  const double last_place = a.x.format == Format::kFloat  ? 0x1p-23
                            : a.x.format == Format::kHalf ? 0x1p-10
                                                          : 0x1p-7;
  return {2 * (10 + a.D / 16. + 64) * 0x1p-24 * largest, last_place};
}

void check_features(const std::string& what, const LeanAccumulateArguments& a) {
  LeanAccumulateArguments emulated = a, expected = a;
  emulated::lean_accumulate(emulated);
  cpu::lean_accumulate(expected);
  compare(what + "accumulators", emulated.accumulators, expected.accumulators);
}

void check_output(const std::string& what, const LeanOutputArguments& a) {
  LeanOutputArguments emulated = a, expected = a;
  emulated::lean_output(emulated);
  cpu::lean_output(expected);
  compare(what + "out", emulated.out, expected.out, tolerance_of(a));
}

}  // namespace

void test_lean() {
  Random random(6);
  for (const Shape& shape : kShapes) {
    for (const Layout layout : kLayouts) {
      for (int variant = 0; variant < kVariants; ++variant) {
        for (const Format format : kFloats) {
          check_features(text("lean_accumulate", shape, format, layout, variant),
                         draw_features(random, shape, format, layout));
        }
        for (const auto& pair : kStreamPairs) {
          check_output(text("lean_output", shape, pair[1], layout, variant),
                       draw_output(random, shape, pair, layout));
        }
      }
    }
  }
}
