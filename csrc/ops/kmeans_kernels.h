// Which of the k-means kernels this library has, and what they take.
#pragma once

#ifdef CLUSCA_CUDA
#include "kernels/kmeans_cluster.h"
#endif
#include <limits>

#include "ops/views.h"

namespace clusca {

#ifdef CLUSCA_CUDA

constexpr int64_t kMatrixFasterToK = 16;  // more are not measured on a GPU
constexpr bool kHasClusterKernel = true;
constexpr const char* kMatrixDtypes = "float16 or bfloat16";

inline bool has_matrix_kernel() { return true; }

inline bool is_for_matrix_kernel(ScalarType dtype) {
  return dtype == ScalarType::Half || dtype == ScalarType::BFloat16;
}

inline void check_cluster_kernel(const Check& check, const Tensor& tokens,
                                 const Tensor& centroids) {
  const int64_t K = centroids.size(1), D = tokens.size(2);
  check.require(K <= kClusterMostK, "K of centroids must be at most ", kClusterMostK,
                " for kernel \"cluster\", got ", K);
  check.require(D % 8 == 0, "D of tokens must be a multiple of 8 for kernel \"cluster\", got ", D);
  check.require(is_aligned_for_clusters(tokens_of<bfloat16_t>(tokens)),
                "tokens must start on 16 bytes in every row for kernel \"cluster\", got strides ",
                Shape{tokens.strides().data(), tokens.strides().size()});
  int major = 0, minor = 0;
  const int device = tokens.get_device_index();
  STD_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  STD_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  check.require(major >= 9, "kernel \"cluster\" needs a GPU of sm_90 or newer, got sm_", major,
                minor);
  const torch::stable::accelerator::DeviceGuard guard(device);
  bool has_code = false;
  STD_CUDA_CHECK(has_cluster_code(&has_code));
  check.require(has_code,
                "kernel \"cluster\" needs code of sm_90 or newer, this build has older "
                "code only for sm_",
                major, minor);
  int most = 0;
  STD_CUDA_CHECK(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  const int64_t needed = cluster_shared_bytes(16, cluster_panel(K), cluster_slice(D));
  check.require(needed <= most, "kernel \"cluster\" needs ", needed,
                " bytes of shared memory for D = ", D, " and K = ", K, ", this GPU has ", most);
}

#else

constexpr int64_t kMatrixFasterToK = std::numeric_limits<int64_t>::max();
constexpr bool kHasClusterKernel = false;
constexpr const char* kMatrixDtypes = "bfloat16";

inline bool has_matrix_kernel() { return has_tiles(); }

inline bool is_for_matrix_kernel(ScalarType dtype) { return dtype == ScalarType::BFloat16; }

inline void check_cluster_kernel(const Check&, const Tensor&, const Tensor&) {}

#endif

}  // namespace clusca
