// torch.ops.clusca.lean_accumulate_: checks, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/lean_accumulate.h"
#else
#include "kernels/lean_accumulate_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

void lean_accumulate(const Tensor& accumulators, const Tensor& feature, const Tensor& phi) {
  const Check check("lean_accumulate_", accumulators, "accumulators", 4, "[C, B, N, D]");
  const int64_t C = accumulators.size(0), B = accumulators.size(1);
  const int64_t N = accumulators.size(2), D = accumulators.size(3);
  check.tensor(accumulators, "accumulators", {C, B, N, D}, ScalarType::Float);
  check.at_least_one(C, "C of accumulators");
  check.at_least_one(D, "D of accumulators");
  check.writable(accumulators, "accumulators");
  check.floating(feature, "feature", {B, N, D});
  check.tensor(phi, "phi", {C, B, D}, ScalarType::Float);
  dispatch(feature.scalar_type(), [&](auto zero) {
    using f_t = decltype(zero);
    const LeanAccumulateParams<f_t> p{mutable_stack_of<float>(accumulators),
                                      tokens_of<f_t>(feature),
                                      tokens_of<float>(phi),
                                      C,
                                      B,
                                      N,
                                      D};
    run_on(accumulators, [&](auto queue) { return launch_lean_accumulate(p, queue); });
  });
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("lean_accumulate_", TORCH_BOX(&clusca::lean_accumulate));
}
