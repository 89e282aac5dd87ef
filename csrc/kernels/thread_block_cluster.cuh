// Clusters of blocks: a barrier over all of them, and each other's shared memory. From sm_90 on;
// older chips never run these, their code only has to compile. The tests have a twin of this file
// for CPUs (tests/emulation/include/kernels/thread_block_cluster.cuh).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace clusca {

// Of the running block in its cluster.
__device__ inline int cluster_rank() {
  uint32_t rank = 0;
#if __CUDA_ARCH__ >= 900
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return static_cast<int>(rank);
}

// All threads of all blocks; what they wrote to anybody's shared memory is there afterwards.
__device__ inline void cluster_barrier() {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
#else
  __trap();
#endif
}

// Where `own`, which lies in this block's dynamic shared memory, lies in that of another one.
template <typename T>
__device__ T* in_block(T* own, int rank) {
  uint64_t address = 0;
#if __CUDA_ARCH__ >= 900
  asm("mapa.u64 %0, %1, %2;"
      : "=l"(address)
      : "l"(reinterpret_cast<uint64_t>(own)), "r"(static_cast<uint32_t>(rank)));
#endif
  return reinterpret_cast<T*>(address);
}

}  // namespace clusca
