// The emulation's half formats against those of the CPU kernels, so that a difference between two
// kernels is one of their own.
#include "cases.h"
#include "compare.h"
#define clusca clusca_cpu
#include "kernels/simd.h"

namespace {

bool same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || emulation::bits_of(a) == emulation::bits_of(b);
}

void check_widening(uint16_t bits) {
  const float half = emulation::half_to_float(bits), bfloat16 = emulation::bfloat16_to_float(bits);
  if (!same(half, clusca::to_float(clusca::half_t{bits}))) {
    report("float16 " + std::to_string(bits) + " to float32");
  }
  if (!same(bfloat16, clusca::to_float(clusca::bfloat16_t{bits}))) {
    report("bfloat16 " + std::to_string(bits) + " to float32");
  }
}

void check_rounding(float value) {
  const auto half = clusca::from_float<clusca::half_t>(value);
  const auto bfloat16 = clusca::from_float<clusca::bfloat16_t>(value);
  if (!same(emulation::half_to_float(emulation::float_to_half(value)), clusca::to_float(half))) {
    report(std::to_string(value) + " to float16");
  }
  if (!same(emulation::bfloat16_to_float(emulation::float_to_bfloat16(value)),
            clusca::to_float(bfloat16))) {
    report(std::to_string(value) + " to bfloat16");
  }
}

}  // namespace

// Every half number; and the numbers halfway between two of them, with their neighbours.
void test_formats() {
  for (int bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    check_widening(half);
    for (const float low : {emulation::half_to_float(half), emulation::bfloat16_to_float(half)}) {
      const uint32_t last = emulation::bits_of(low);
      for (const uint32_t digits : {0u, 0x1000u, 0x8000u}) {
        for (const uint32_t neighbour : {0u, 1u, ~0u}) {
          check_rounding(clusca::bits_float(last + digits + neighbour));
        }
      }
    }
  }
}
