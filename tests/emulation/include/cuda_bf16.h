// Stands for the toolkit's header: __nv_bfloat16 and the conversions that csrc/kernels uses.
#pragma once

#include "../rounding.h"

struct __nv_bfloat16 {
  uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 value) {
  return emulation::bfloat16_to_float(value.bits);
}
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  return {emulation::float_to_bfloat16(value)};
}
