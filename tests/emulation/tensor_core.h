// Fragments, products and copies of a warp, for include/kernels/tensor_core.cuh.
#pragma once

#include <type_traits>

#include "cuda_emulation.h"

namespace emulation {

void load_matrices(uint32_t (&to)[4], const void* row);
void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                  float (*value_of)(uint16_t));
void begin_copy(void* to_shared, const void* from, bool exists);
void end_copies();
void wait_for_copies(int left);

}  // namespace emulation
