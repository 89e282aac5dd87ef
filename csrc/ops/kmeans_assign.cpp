// torch.ops.clusca.kmeans_assign: checks, allocation, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/kmeans_assign.h"
#else
#include "kernels/kmeans_assign_cpu.h"
#endif
#include "ops/kmeans.h"

namespace clusca {
namespace {

std::tuple<Tensor, Tensor> kmeans_assign(const Tensor& tokens, const Tensor& centroids,
                                         const Text& metric, const Text& kernel) {
  const Check check = check_kmeans("kmeans_assign", tokens, centroids);
  const KmeansMethod by(check, tokens, centroids, metric, kernel);
  const KmeansLabels labels(tokens);
  dispatch(tokens.scalar_type(), [&](auto zero) {
    const auto p = assign_params<decltype(zero)>(tokens, centroids, by, labels);
    run_on(tokens, [&](auto queue) { return launch_kmeans_assign(p, queue); });
  });
  return {labels.cluster_ids, labels.distances};
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("kmeans_assign", TORCH_BOX(&clusca::kmeans_assign));
}
