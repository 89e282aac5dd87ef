// Stands for csrc/kernels/tensor_core.cuh, whose PTX a CPU does not have. Copies land in
// every other cluster of blocks at once, else when they are waited for. Products are summed in
// double and cut off once.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "../../tensor_core.h"
#include "kernels/dynamic_shared.cuh"

namespace clusca {

inline void load_matrices(uint32_t (&to)[4], const void* row) { emulation::load_matrices(to, row); }

template <typename T>
void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const auto value_of = [](uint16_t bits) {
    if constexpr (sizeof(T) == sizeof(__half) && std::is_same_v<T, __half>) {
      return __half2float(__half{bits});
    } else {
      return __bfloat162float(__nv_bfloat16{bits});
    }
  };
  emulation::multiply_add(sum, a, b0, b1, value_of);
}

inline void copy_packet(void* to_shared, const void* from, bool exists) {
  emulation::begin_copy(to_shared, from, exists);
}

inline void end_copies() { emulation::end_copies(); }

template <int kLeft>
void wait_for_copies() {
  emulation::wait_for_copies(kLeft);
}

}  // namespace clusca
