// The selections, emulated against the CPU kernels: integers, so equal.
#include "cases.h"
#include "compare.h"
#include "sides.h"

namespace {

constexpr int kVariants = 4;

constexpr Shape kShapes[] = {
    {0, 5, 2, 0},        // no batch rows
    {2, 0, 3, 0},        // no tokens
    {1, 1, 1, 0},        // one of everything
    {3, 5, 40, 0},       // more clusters than tokens
    {2, 1500, 7, 0},     // more tokens than threads
    {1, 600, 4096, 0},   // as many clusters as fit into shared memory
    {2, 600, 4097, 0},   // one more
    {1, 1300, 9000, 0},  // three passes
};

SelectArguments draw(Random& random, const Shape& s, Layout layout) {
  const int64_t seeds = random.one_in(2) ? 1 : s.B;
  SelectArguments a{s.B,
                    s.N,
                    s.K,
                    Array(Format::kInt32, {s.B, s.N}, layout),
                    Array(Format::kFloat, {s.B, s.N}, layout),
                    Array(Format::kInt64, {seeds, 2}, layout),
                    random.below(100),
                    Array(Format::kInt32, {s.B, s.K})};
  fill_indices(random, a.cluster_ids, s.K);
  random.fill(a.distances, 1, 5);  // few values, so many equal ones
  for (int i = 0; i < 4; ++i) spoil(random, a.distances);
  random.fill(a.seed, 1, 1e6);
  return a;
}

}  // namespace

void test_select() {
  Random random(3);
  for (const Shape& shape : kShapes) {
    for (const Layout layout : kLayouts) {
      for (int variant = 0; variant < kVariants; ++variant) {
        const SelectArguments a = draw(random, shape, layout);
        SelectArguments emulated = a, expected = a;
        emulated::select_representatives(emulated);
        cpu::select_representatives(expected);
        compare(text("select_representatives", shape, Format::kFloat, layout, variant),
                emulated.representatives, expected.representatives);
        emulated::select_nearest(emulated);
        cpu::select_nearest(expected);
        compare(text("select_nearest", shape, Format::kFloat, layout, variant),
                emulated.representatives, expected.representatives);
      }
    }
  }
}
