// torch.ops.clusca.kmeans_fit: checks, allocation, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/kmeans_fit.h"
#else
#include "kernels/kmeans_fit_cpu.h"
#endif
#include "ops/kmeans.h"

namespace clusca {
namespace {

constexpr int64_t kMostIterations = 1000000;  // each has a row of `moves`

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> kmeans_fit(const Tensor& tokens,
                                                              const Tensor& centroids,
                                                              const Text& metric, int64_t max_iters,
                                                              double rtol, const Text& kernel) {
  const Check check = check_kmeans("kmeans_fit", tokens, centroids);
  const KmeansMethod by(check, tokens, centroids, metric, kernel);
  check.require(max_iters >= 0 && max_iters <= kMostIterations, "max_iters must be in [0, ",
                kMostIterations, "], got ", max_iters);
  check.require(rtol >= 0, "rtol must be at least 0, got ", rtol);
  const int64_t B = tokens.size(0), K = centroids.size(1), D = tokens.size(2);
  const KmeansLabels labels(tokens);
  const KmeansSums sums(tokens, K);
  Tensor moved = torch::stable::new_empty(centroids, {B, K, D});
  torch::stable::copy_(moved, centroids);
  Tensor iterations = torch::stable::new_empty(tokens, {B}, ScalarType::Int);
  // A KmeansMove is two floats; one per iteration and batch row, and one for the labels at the end.
  Tensor moves = torch::stable::new_empty(tokens, {max_iters + 1, B, 2}, ScalarType::Float);
  dispatch(tokens.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    const KmeansFitParams<scalar_t> p{step_params<scalar_t>(tokens, moved, by, labels, sums),
                                      data_of<float>(moved),
                                      reinterpret_cast<KmeansMove*>(data_of<float>(moves)),
                                      data_of<int32_t>(iterations),
                                      max_iters,
                                      static_cast<float>(rtol)};
    run_on(tokens, [&](auto queue) { return launch_kmeans_fit(p, queue); });
  });
  return {labels.cluster_ids, labels.distances, moved, sums.counts, iterations};
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("kmeans_fit", TORCH_BOX(&clusca::kmeans_fit));
}
