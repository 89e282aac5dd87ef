// How kernels are launched: one call, so that the sources stay plain C++ and tests can run them on
// a CPU (tests/emulation).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace clusca {

template <typename Params>
cudaError_t launch(void (*kernel)(Params), int64_t blocks, dim3 threads, cudaStream_t stream,
                   const Params& p) {
  if (blocks == 0) return cudaSuccess;  // an empty grid is a launch error
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));  // x alone goes beyond 65,535
  config.blockDim = threads;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, p);
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace clusca
