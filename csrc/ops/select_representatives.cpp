// torch.ops.clusca.select_representatives: checks, allocation, registration.
#ifdef CLUSCA_CUDA
#include "kernels/select_representatives.h"
#else
#include "kernels/select_representatives_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

Tensor select_representatives(const Tensor& cluster_ids, int64_t num_clusters, const Tensor& seed,
                              int64_t layer) {
  const Check check("select_representatives", cluster_ids, "cluster_ids", 2, "[B, N]");
  const int64_t B = cluster_ids.size(0), N = cluster_ids.size(1);
  check.tensor(cluster_ids, "cluster_ids", {B, N}, ScalarType::Int);
  check.at_least_one(num_clusters, "num_clusters");
  check.at_most_int32(N, "N of cluster_ids");
  if (seed.dim() == 2) {
    check.tensor(seed, "seed", {B, 2}, ScalarType::Long);
  } else {
    check.tensor(seed, "seed", {2}, ScalarType::Long);
  }
  Tensor representatives = torch::stable::new_empty(cluster_ids, {B, num_clusters});
  const SelectRepresentativesParams p{indices_of(cluster_ids),
                                      static_cast<const int64_t*>(seed.const_data_ptr()),
                                      seed.dim() == 2 ? seed.stride(0) : 0,
                                      layer,
                                      static_cast<int32_t*>(representatives.mutable_data_ptr()),
                                      B,
                                      N,
                                      num_clusters};
  run_on(cluster_ids, [&](auto queue) { return launch_select_representatives(p, queue); });
  return representatives;
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("select_representatives", TORCH_BOX(&clusca::select_representatives));
}
