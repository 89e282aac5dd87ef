// How kernels are launched: one call, so that the sources stay plain C++ and tests can run them on
// a CPU (tests/emulation).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace clusca {

constexpr int kFreeShared = 48 * 1024;  // bytes a block may have without asking for them

struct LaunchOptions {
  int shared_bytes = 0;    // of dynamic_shared()
  int cluster_blocks = 1;  // blocks that run together
};

template <typename Params>
cudaError_t launch(void (*kernel)(Params), int64_t blocks, dim3 threads, cudaStream_t stream,
                   const Params& p, const LaunchOptions& options = {}) {
  if (blocks == 0) return cudaSuccess;  // an empty grid is a launch error
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  if (options.shared_bytes > kFreeShared) {
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, options.shared_bytes);
    if (error != cudaSuccess) return error;
  }
  cudaLaunchAttribute cluster = {};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = static_cast<unsigned>(options.cluster_blocks);
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));  // x alone goes beyond 65,535
  config.blockDim = threads;
  config.dynamicSmemBytes = static_cast<size_t>(options.shared_bytes);
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = options.cluster_blocks > 1;
  return cudaLaunchKernelEx(&config, kernel, p);
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace clusca
