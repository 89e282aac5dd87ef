// Stands for the toolkit's header: __half and the conversions that csrc/kernels uses.
#pragma once

#include "../rounding.h"

struct __half {
  uint16_t bits;
};

inline float __half2float(__half value) { return emulation::half_to_float(value.bits); }
inline __half __float2half_rn(float value) { return {emulation::float_to_half(value)}; }
