// torch.ops.clusca.kmeans_step: checks, allocation, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/kmeans_step.h"
#else
#include "kernels/kmeans_step_cpu.h"
#endif
#include "ops/kmeans.h"

namespace clusca {
namespace {

std::tuple<Tensor, Tensor, Tensor> kmeans_step(const Tensor& tokens, const Tensor& centroids,
                                               const Text& metric, const Text& kernel) {
  const Check check = check_kmeans("kmeans_step", tokens, centroids);
  const KmeansMethod by(check, tokens, centroids, metric, kernel);
  const KmeansLabels labels(tokens);
  const KmeansSums sums(tokens, centroids.size(1));
  dispatch(tokens.scalar_type(), [&](auto zero) {
    const auto p = step_params<decltype(zero)>(tokens, centroids, by, labels, sums);
    run_on(tokens, [&](auto queue) { return launch_kmeans_step(p, queue); });
  });
  return {labels.cluster_ids, sums.sums, sums.counts};
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("kmeans_step", TORCH_BOX(&clusca::kmeans_step));
}
