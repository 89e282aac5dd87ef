// torch.ops.clusca.carry_representatives_: checks, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/carry_representatives.h"
#else
#include "kernels/carry_representatives_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

Check check_carry(const Tensor& offset, const Tensor& correction, const Tensor& factors,
                  const Tensor& representatives, const std::optional<Tensor>& gate,
                  const std::optional<Tensor>& computed) {
  const Check check("carry_representatives_", offset, "offset", 3, "[B, K, D]");
  const int64_t B = offset.size(0), K = offset.size(1), D = offset.size(2);
  check.at_least_one(K, "K of offset");
  check.tensor(offset, "offset", {B, K, D}, ScalarType::Float);
  check.tensor(correction, "correction", {B, K, D}, ScalarType::Float);
  check.writable(offset, "offset");
  check.writable(correction, "correction");
  check.require(factors.dim() == 4, "factors must be [O + 1, B, N, D], got shape ",
                shape_of(factors));
  check.floating(factors, "factors", {factors.size(0), B, factors.size(2), D});
  check_factors(check, factors);
  check.tensor(representatives, "representatives", {B, K}, ScalarType::Int);
  check.floating_modulation(gate, "gate", B, factors.size(2), D);
  if (computed) check.floating(*computed, "computed", {B, K, D});
  return check;
}

void run(const Tensor& offset, const Tensor& correction, const Tensor& factors,
         const Tensor& representatives, const std::optional<Tensor>& gate,
         const std::optional<Tensor>& computed, const Weights& weights) {
  dispatch(factors.scalar_type(), [&](auto zero) {
    using f_t = decltype(zero);
    const CarryRepresentativesParams<f_t> p{mutable_tokens_of<float>(offset),
                                            mutable_tokens_of<float>(correction),
                                            factors_of<f_t>(factors, weights),
                                            indices_of(representatives),
                                            rows_of(gate),
                                            rows_of(computed),
                                            offset.size(0),
                                            factors.size(2),
                                            offset.size(1),
                                            offset.size(2)};
    run_on(offset, [&](auto queue) { return launch_carry_representatives(p, queue); });
  });
}

void by_value(const Tensor& offset, const Tensor& correction, const Tensor& factors,
              const Tensor& representatives, const std::optional<Tensor>& gate,
              const std::optional<Tensor>& computed, double distance) {
  const Check check = check_carry(offset, correction, factors, representatives, gate, computed);
  run(offset, correction, factors, representatives, gate, computed, weights_of(check, distance));
}

void by_tensor(const Tensor& offset, const Tensor& correction, const Tensor& factors,
               const Tensor& representatives, const std::optional<Tensor>& gate,
               const std::optional<Tensor>& computed, const Tensor& weights) {
  const Check check = check_carry(offset, correction, factors, representatives, gate, computed);
  run(offset, correction, factors, representatives, gate, computed,
      weights_of(check, weights, offset.size(0), factors.size(0)));
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("carry_representatives_", TORCH_BOX(&clusca::by_value));
  m.impl("carry_representatives_.tensor", TORCH_BOX(&clusca::by_tensor));
}
