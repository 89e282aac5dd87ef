#include "compare.h"

#include <cstdio>

namespace {

constexpr int kMostShown = 20;
int count = 0;

bool agree(double got, double want, Tolerance tolerance) {
  return got == want || (std::isnan(got) && std::isnan(want)) ||
         std::fabs(got - want) <= tolerance.absolute + tolerance.relative * std::fabs(want);
}

}  // namespace

void report(const std::string& failure) {
  if (++count <= kMostShown) std::fprintf(stderr, "%s\n", failure.c_str());
}

int failures() { return count; }

void compare(const std::string& what, const Array& emulated, const Array& expected,
             Tolerance tolerance) {
  for (int64_t i = 0; i < emulated.count(); ++i) {
    const double got = emulated.get(i), want = expected.get(i);
    if (agree(got, want, tolerance)) continue;
    return report(what + "[" + std::to_string(i) + "]: emulated " + std::to_string(got) +
                  ", CPU kernel " + std::to_string(want));
  }
  if (!emulated.has_clean_gaps() || !expected.has_clean_gaps()) {
    report(what + ": written between its elements");
  }
}
