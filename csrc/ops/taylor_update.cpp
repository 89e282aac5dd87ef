// torch.ops.clusca.taylor_update_: checks, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/taylor_update.h"
#else
#include "kernels/taylor_update_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

Check check_input(const Tensor& factors, const Tensor& feature) {
  const Check check("taylor_update_", factors, "factors", 4, "[O + 1, B, N, D]");
  check_factors(check, factors);
  check.writable(factors, "factors");
  check.floating(feature, "feature", {factors.size(1), factors.size(2), factors.size(3)});
  return check;
}

void run(const Tensor& factors, const Tensor& feature, const Weights& rates) {
  dispatch(factors.scalar_type(), [&](auto zero) {
    using f_t = decltype(zero);
    const TaylorUpdateParams<f_t> p{static_cast<f_t*>(factors.mutable_data_ptr()),
                                    factors.stride(0),
                                    factors.stride(1),
                                    factors.stride(2),
                                    rows_of(feature),
                                    static_cast<int>(factors.size(0)),
                                    rates,
                                    factors.size(1),
                                    factors.size(2),
                                    factors.size(3)};
    run_on(factors, [&](auto queue) { return launch_taylor_update(p, queue); });
  });
}

void by_value(const Tensor& factors, const Tensor& feature, double spacing,
              std::optional<int64_t> history) {
  const Check check = check_input(factors, feature);
  check.require(!history || *history >= 0, "history must be at least 0, got ", history.value_or(0));
  const int64_t order = factors.size(0) - 1, known = std::min(order, history.value_or(order));
  check.require(known == 0 || (std::isfinite(spacing) && spacing != 0),
                "spacing must be finite and not 0, got ", spacing);
  Weights rates{};
  for (int64_t i = 0; i < known; ++i) rates.values[i] = static_cast<float>(1 / spacing);
  run(factors, feature, rates);
}

void by_tensor(const Tensor& factors, const Tensor& feature, const Tensor& rates) {
  const Check check = check_input(factors, feature);
  check.tensor(rates, "rates", {factors.size(0) - 1}, ScalarType::Float);
  run(factors, feature, {static_cast<const float*>(rates.const_data_ptr()), 0, {}});
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("taylor_update_", TORCH_BOX(&clusca::by_value));
  m.impl("taylor_update_.tensor", TORCH_BOX(&clusca::by_tensor));
}
