// torch.ops.clusca.propagate_residual_: checks, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/propagate_residual.h"
#else
#include "kernels/propagate_residual_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

void run(const Check& check, const Tensor& x, const Tensor& factors, const Tensor& computed,
         const Tensor& representatives, const Tensor& cluster_ids,
         const std::optional<Tensor>& gate, Scalar gamma, const Weights& weights,
         const Text& rule) {
  const int64_t B = x.size(0), N = x.size(1), D = x.size(2);
  const ClusterArguments arguments = clusters_of(check, x, computed, representatives, cluster_ids,
                                                 gamma, rule_of(check, rule), B, N, D);
  dispatch(x.scalar_type(), factors.scalar_type(), [&](auto x_zero, auto f_zero) {
    using x_t = decltype(x_zero);
    using f_t = decltype(f_zero);
    const PropagateResidualParams<x_t, f_t> p{mutable_tokens_of<x_t>(x),
                                              factors_of<f_t>(factors, weights),
                                              arguments.clusters,
                                              rows_of(gate),
                                              B,
                                              N,
                                              D};
    run_on(x, [&](auto queue) { return launch_propagate_residual(p, queue); });
  });
}

void by_value(const Tensor& x, const Tensor& factors, const Tensor& computed,
              const Tensor& representatives, const Tensor& cluster_ids,
              const std::optional<Tensor>& gate, double gamma, double distance, const Text& rule) {
  const Check check = check_residual("propagate_residual_", x, factors, gate);
  run(check, x, factors, computed, representatives, cluster_ids, gate, gamma_of(check, gamma),
      weights_of(check, distance), rule);
}

void by_tensor(const Tensor& x, const Tensor& factors, const Tensor& computed,
               const Tensor& representatives, const Tensor& cluster_ids,
               const std::optional<Tensor>& gate, const Tensor& gamma, const Tensor& weights,
               const Text& rule) {
  const Check check = check_residual("propagate_residual_", x, factors, gate);
  run(check, x, factors, computed, representatives, cluster_ids, gate, gamma_of(check, gamma),
      weights_of(check, weights, x.size(0), factors.size(0)), rule);
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("propagate_residual_", TORCH_BOX(&clusca::by_value));
  m.impl("propagate_residual_.tensor", TORCH_BOX(&clusca::by_tensor));
}
