// torch.ops.clusca.cluster_propagate: checks, allocation, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/cluster_propagate.h"
#else
#include "kernels/cluster_propagate_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

template <typename Gamma>
Tensor run(const Tensor& forecast, const Tensor& computed, const Tensor& representatives,
           const Tensor& cluster_ids, const Gamma& gamma, const Text& rule) {
  const Check check("cluster_propagate", forecast, "forecast", 3, "[B, N, D]");
  const int64_t B = forecast.size(0), N = forecast.size(1), D = forecast.size(2);
  check.floating(forecast, "forecast");
  check.at_least_one(D, "D of forecast");
  const ClusterArguments arguments =
      clusters_of(check, forecast, computed, representatives, cluster_ids, gamma_of(check, gamma),
                  rule_of(check, rule), B, N, D);
  Tensor out = torch::stable::new_empty(forecast, {B, N, D});
  dispatch(forecast.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    const ClusterPropagateParams<scalar_t> p{one_factor(tokens_of<scalar_t>(forecast)),
                                             arguments.clusters,
                                             mutable_tokens_of<scalar_t>(out),
                                             B,
                                             N,
                                             D};
    run_on(forecast, [&](auto queue) { return launch_cluster_propagate(p, queue); });
  });
  return out;
}

Tensor by_value(const Tensor& forecast, const Tensor& computed, const Tensor& representatives,
                const Tensor& cluster_ids, double gamma, const Text& rule) {
  return run(forecast, computed, representatives, cluster_ids, gamma, rule);
}

Tensor by_tensor(const Tensor& forecast, const Tensor& computed, const Tensor& representatives,
                 const Tensor& cluster_ids, const Tensor& gamma, const Text& rule) {
  return run(forecast, computed, representatives, cluster_ids, gamma, rule);
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("cluster_propagate", TORCH_BOX(&clusca::by_value));
  m.impl("cluster_propagate.tensor", TORCH_BOX(&clusca::by_tensor));
}
