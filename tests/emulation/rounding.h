// float16 and bfloat16 by their definition: plain arithmetic on values, so that it shares nothing
// with the bit tricks of csrc/kernels/simd.h that it is compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace emulation {

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// To kDigits binary digits, ties to even; below 2^kLowest the spacing stays that of 2^kLowest.
template <int kDigits, int kLowest>
double round_to(float value) {
  if (value == 0.f || !std::isfinite(value)) return value;
  const double unit = std::ldexp(1.0, std::max(std::ilogb(value), kLowest) - (kDigits - 1));
  return std::nearbyint(value / unit) * unit;
}

inline float bfloat16_to_float(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint16_t float_to_bfloat16(float value) {
  if (std::isnan(value)) return 0x7fff;
  return static_cast<uint16_t>(bits_of(static_cast<float>(round_to<8, -126>(value))) >> 16);
}

inline float half_to_float(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                          : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                          : std::ldexp(1024.f + fraction, exponent - 25);
  return half >> 15 ? -magnitude : magnitude;
}

inline uint16_t float_to_half(float value) {
  if (std::isnan(value)) return 0x7fff;
  const int sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(round_to<11, -14>(value));
  if (magnitude >= 65536.0) return static_cast<uint16_t>(sign | 0x7c00);
  const int exponent = std::max(magnitude > 0 ? std::ilogb(magnitude) : -14, -14);
  // 1024 of these are the hidden bit, which is exponent 1; without it the number is subnormal.
  const int digits = static_cast<int>(std::ldexp(magnitude, 10 - exponent));
  return static_cast<uint16_t>(sign | (((exponent + 14) << 10) + digits));
}

}  // namespace emulation
