// What the glue of the three k-means ops shares: checks, outputs, parameters.
#pragma once

#include "kernels/kmeans_matrix.h"
#include "kernels/kmeans_step.h"
#include "ops/kmeans_kernels.h"
#include "ops/views.h"

namespace clusca {

inline Check check_kmeans(const char* op, const Tensor& tokens, const Tensor& centroids) {
  const Check check(op, tokens, "tokens", 3, "[B, N, D]");
  check.floating(tokens, "tokens");
  check.at_least_one(tokens.size(2), "D of tokens");
  check.at_most_int32(tokens.size(1), "N of tokens");
  check.at_most_int32(tokens.size(2), "D of tokens");
  check.require(centroids.dim() == 3, "centroids must be [B, K, D], got shape ",
                shape_of(centroids));
  check.at_least_one(centroids.size(1), "K of centroids");
  check.at_most_int32(centroids.size(1), "K of centroids");
  check.tensor(centroids, "centroids", {tokens.size(0), centroids.size(1), tokens.size(2)},
               ScalarType::Float);
  return check;
}

// The kernel that "auto" names is the fastest one measured (bench/results, kmeans_*).
inline Kernel kernel_of(const Check& check, const Tensor& tokens, const Tensor& centroids,
                        Metric metric, const Text& kernel) {
  constexpr std::optional<Kernel> kAuto;
  const std::optional<Kernel> asked =
      check.one_of<std::optional<Kernel>>(kernel.value, "kernel",
                                          {{"auto", kAuto},
                                           {"vector", Kernel::kVector},
                                           {"matrix", Kernel::kMatrix},
                                           {"cluster", Kernel::kCluster}});
  const bool fits = is_for_matrix_kernel(tokens.scalar_type()), l2 = metric == Metric::kL2;
  if (!asked) {
    const bool faster = centroids.size(1) <= kMatrixFasterToK;
    return faster && fits && l2 && has_matrix_kernel() ? Kernel::kMatrix : Kernel::kVector;
  }
  if (*asked == Kernel::kVector) return *asked;
  const std::string name = "kernel \"" + kernel.value + "\"";
  check.require(*asked != Kernel::kCluster || kHasClusterKernel, name,
                " needs tokens on CUDA, got ", device_name(tokens));
  check.require(l2, "metric must be \"l2\" for ", name, ", got \"l1\"");
  check.require(fits, "tokens must be ", kMatrixDtypes, " for ", name, ", got ",
                dtype_name(tokens.scalar_type()));
  check.require(has_matrix_kernel(), name, " needs a CPU with matrix tiles (AMX), got one without");
  if (*asked == Kernel::kCluster) check_cluster_kernel(check, tokens, centroids);
  return *asked;
}

// How the distances are computed, and where.
struct KmeansMethod {
  KmeansMethod(const Check& check, const Tensor& tokens, const Tensor& centroids,
               const Text& metric, const Text& kernel)
      : metric(metric_of(check, metric)),
        kernel(kernel_of(check, tokens, centroids, this->metric, kernel)) {
#ifdef CLUSCA_CUDA
    if (this->kernel == Kernel::kVector) return;
    const int64_t size = matrix_workspace(tokens.size(0), centroids.size(1), tokens.size(2));
    workspace = torch::stable::new_empty(tokens, {size}, ScalarType::Float);
#endif
  }

  Metric metric;
  Kernel kernel;
  std::optional<Tensor> workspace;
};

// The labels of an assignment.
struct KmeansLabels {
  explicit KmeansLabels(const Tensor& tokens)
      : cluster_ids(
            torch::stable::new_empty(tokens, {tokens.size(0), tokens.size(1)}, ScalarType::Int)),
        distances(torch::stable::new_empty(tokens, {tokens.size(0), tokens.size(1)},
                                           ScalarType::Float)) {}

  Tensor cluster_ids, distances;
};

// The sums of a step, its workspace included.
struct KmeansSums {
  KmeansSums(const Tensor& tokens, int64_t K)
      : KmeansSums(tokens, tokens.size(0), K, tokens.size(2), kmeans_chunks(tokens.size(1), K)) {}

  Tensor sums, counts, partial_sums, partial_counts;

 private:
  KmeansSums(const Tensor& like, int64_t B, int64_t K, int64_t D, int64_t chunks)
      : sums(torch::stable::new_empty(like, {B, K, D}, ScalarType::Float)),
        counts(torch::stable::new_empty(like, {B, K}, ScalarType::Int)),
        partial_sums(torch::stable::new_empty(like, {B, chunks, K, D}, ScalarType::Float)),
        partial_counts(torch::stable::new_empty(like, {B, chunks, K}, ScalarType::Int)) {}
};

template <typename T>
T* data_of(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

template <typename scalar_t>
KmeansAssignParams<scalar_t> assign_params(const Tensor& tokens, const Tensor& centroids,
                                           const KmeansMethod& method, const KmeansLabels& labels) {
  return {tokens_of<scalar_t>(tokens),
          tokens_of<float>(centroids),
          data_of<int32_t>(labels.cluster_ids),
          data_of<float>(labels.distances),
          method.metric,
          method.kernel,
          method.workspace ? method.workspace->mutable_data_ptr() : nullptr,
          tokens.size(0),
          tokens.size(1),
          centroids.size(1),
          tokens.size(2)};
}

template <typename scalar_t>
KmeansStepParams<scalar_t> step_params(const Tensor& tokens, const Tensor& centroids,
                                       const KmeansMethod& method, const KmeansLabels& labels,
                                       const KmeansSums& sums) {
  return {assign_params<scalar_t>(tokens, centroids, method, labels),
          data_of<float>(sums.partial_sums), data_of<int32_t>(sums.partial_counts),
          data_of<float>(sums.sums), data_of<int32_t>(sums.counts)};
}

}  // namespace clusca
