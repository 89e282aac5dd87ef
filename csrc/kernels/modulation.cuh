// What follows the mean and the factor of a norm; the equation is in gather_representatives.h.
#pragma once

#include "kernels/vec.cuh"

namespace clusca {

// A packet of all that modulates a token's, on its way from memory. Params have weight, bias, scale
// and shift.
template <int kVec>
class ModulationInFlight {
 public:
  template <typename Params>
  __device__ ModulationInFlight(const Params& p, int64_t b, int64_t n, int64_t d)
      : weights_(p.weight, d, 1.f),
        biases_(p.bias, d, 0.f),
        scales_(p.scale, p.scale.offset(b, n) + d, 0.f),
        shifts_(p.shift, p.shift.offset(b, n) + d, 0.f) {}

  // value <- ((value - mean) * factor * weight + bias) * (1 + scale) + shift
  __device__ void apply(float mean, float factor, float (&value)[kVec]) const {
    float weight[kVec], bias[kVec], scale[kVec], shift[kVec];
    weights_.unpack(weight), biases_.unpack(bias), scales_.unpack(scale), shifts_.unpack(shift);
#pragma unroll
    for (int v = 0; v < kVec; ++v) {
      const float normed = (value[v] - mean) * factor * weight[v] + bias[v];
      value[v] = normed * (1.f + scale[v]) + shift[v];
    }
  }

 private:
  const OptionalRowInFlight<kVec> weights_, biases_, scales_, shifts_;
};

}  // namespace clusca
