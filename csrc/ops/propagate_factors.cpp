// torch.ops.clusca.propagate_factors_: checks, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/propagate_factors.h"
#else
#include "kernels/propagate_factors_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

template <typename Gamma>
void run(const Tensor& factors, const Tensor& computed, const Tensor& representatives,
         const Tensor& cluster_ids, const Gamma& gamma) {
  const Check check("propagate_factors_", factors, "factors", 4, "[O + 1, B, N, D]");
  check_factors(check, factors);
  check.writable(factors, "factors");
  const int64_t B = factors.size(1), N = factors.size(2), D = factors.size(3);
  const ClusterArguments arguments =
      clusters_of(check, factors, computed, representatives, cluster_ids, gamma_of(check, gamma),
                  Rule::kValue, B, N, D);
  dispatch(factors.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    const Tokens<scalar_t> order0{static_cast<scalar_t*>(factors.mutable_data_ptr()),
                                  factors.stride(1), factors.stride(2)};
    const PropagateFactorsParams<scalar_t> p{
        one_factor(order0), arguments.clusters, order0, B, N, D};
    run_on(factors, [&](auto queue) { return launch_propagate_factors(p, queue); });
  });
}

void by_value(const Tensor& factors, const Tensor& computed, const Tensor& representatives,
              const Tensor& cluster_ids, double gamma) {
  run(factors, computed, representatives, cluster_ids, gamma);
}

void by_tensor(const Tensor& factors, const Tensor& computed, const Tensor& representatives,
               const Tensor& cluster_ids, const Tensor& gamma) {
  run(factors, computed, representatives, cluster_ids, gamma);
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("propagate_factors_", TORCH_BOX(&clusca::by_value));
  m.impl("propagate_factors_.tensor", TORCH_BOX(&clusca::by_tensor));
}
