// torch.ops.clusca.select_nearest: checks, allocation, registration.
#ifdef CLUSCA_CUDA
#include "kernels/select_nearest.h"
#else
#include "kernels/select_nearest_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

Tensor select_nearest(const Tensor& cluster_ids, const Tensor& distances, int64_t num_clusters) {
  const Check check("select_nearest", cluster_ids, "cluster_ids", 2, "[B, N]");
  const int64_t B = cluster_ids.size(0), N = cluster_ids.size(1);
  check.tensor(cluster_ids, "cluster_ids", {B, N}, ScalarType::Int);
  check.tensor(distances, "distances", {B, N}, ScalarType::Float);
  check.at_least_one(num_clusters, "num_clusters");
  check.at_most_int32(N, "N of cluster_ids");
  Tensor representatives = torch::stable::new_empty(cluster_ids, {B, num_clusters});
  const SelectNearestParams p{indices_of(cluster_ids),
                              static_cast<const float*>(distances.const_data_ptr()),
                              distances.stride(0),
                              static_cast<int32_t*>(representatives.mutable_data_ptr()),
                              B,
                              N,
                              num_clusters};
  run_on(cluster_ids, [&](auto queue) { return launch_select_nearest(p, queue); });
  return representatives;
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("select_nearest", TORCH_BOX(&clusca::select_nearest));
}
