// Vectors as wide as the CPU's registers, for loops whose sums must stay in registers: compilers do
// not promise that of plain loops, and spill vectors that are wider than a register.
#pragma once

#include "kernels/simd.h"

namespace clusca {

template <int kWidth>
struct VectorOf {
  typedef float Floats __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
  typedef uint32_t Bits __attribute__((vector_size(4 * kWidth)));

  static CLUSCA_INLINE Floats load(const float* from) {
    return *reinterpret_cast<const Floats*>(from);
  }
  static CLUSCA_INLINE void store(float* to, Floats value) {
    *reinterpret_cast<Floats*>(to) = value;
  }
  static CLUSCA_INLINE Floats magnitude(Floats value) {
    return reinterpret_cast<Floats>(reinterpret_cast<Bits>(value) & 0x7fffffffu);
  }
};

#ifdef CLUSCA_HAS_CLONES
template <typename Loop>
__attribute__((target("arch=x86-64-v4"))) void run_wide(const Loop& loop) {
  loop.template run<16>();
}

template <typename Loop>
__attribute__((target("arch=x86-64-v3"))) void run_half_wide(const Loop& loop) {
  loop.template run<8>();
}
#endif

// loop.run<kWidth>(), an always inlined template, compiled for and with the width of this CPU.
template <typename Loop>
void run_widest(const Loop& loop) {
#ifdef CLUSCA_HAS_CLONES
  static const int width = __builtin_cpu_supports("x86-64-v4")   ? 16
                           : __builtin_cpu_supports("x86-64-v3") ? 8
                                                                 : 4;
  if (width == 16) return run_wide(loop);
  if (width == 8) return run_half_wide(loop);
#endif
  loop.template run<4>();
}

}  // namespace clusca
