// Shared memory whose size is known at the launch (launch.cuh). The tests have a twin of this file
// for CPUs (tests/emulation/include/kernels/dynamic_shared.cuh).
#pragma once

namespace clusca {

// The block's shared memory of as many bytes as it was launched with.
__device__ inline unsigned char* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char storage[];
  return storage;
}

}  // namespace clusca
