// Tensor cores and what feeds them, a warp at a time: products of half types summed in float32,
// fragments from shared memory, copies into it that nobody waits for. From sm_80 on. The tests have
// a twin of this file for CPUs (tests/emulation/include/kernels/tensor_core.cuh).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/dynamic_shared.cuh"

namespace clusca {

__device__ inline unsigned shared_address(const void* in_shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(in_shared));
}

// Four 8 x 8 matrices of 16-bit elements. Lane i names row i % 8 of matrix i / 8, 16 bytes on 16;
// of every matrix it gets elements 2 (i % 4) and the next of row i / 4.
__device__ inline void load_matrices(uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

// sum[16, 8] += a[16, 16] b[16, 8]. Lane i has of `sum` elements 2 (i % 4) and the next of rows
// i / 4 and i / 4 + 8. Of `a`: matrices of rows and channels (0, 0), (8, 0), (0, 8), (8, 8); of
// `b`, whose columns lie in rows of memory: channels 0 and 8.
template <typename T>
__device__ void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

#define CLUSCA_MULTIPLY_ADD(T, name)                                                           \
  template <>                                                                                  \
  __device__ inline void multiply_add<T>(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, \
                                         uint32_t b1) {                                        \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." name "." name                        \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"        \
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));              \
  }
CLUSCA_MULTIPLY_ADD(__half, "f16")
CLUSCA_MULTIPLY_ADD(__nv_bfloat16, "bf16")
#undef CLUSCA_MULTIPLY_ADD

// Begins to copy 16 bytes into shared memory, or zeros if there is nothing to copy.
__device__ inline void copy_packet(void* to_shared, const void* from, bool exists) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to_shared)),
               "l"(from), "r"(exists ? 16 : 0)
               : "memory");
}

// Ends a group of this thread's copies.
__device__ inline void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for this thread's groups but the last kLeft.
template <int kLeft>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

}  // namespace clusca
