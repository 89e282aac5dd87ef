// torch.ops.clusca.taylor_forecast: checks, allocation, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/taylor_forecast.h"
#else
#include "kernels/taylor_forecast_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

Check check_input(const Tensor& factors) {
  const Check check("taylor_forecast", factors, "factors", 4, "[O + 1, B, N, D]");
  check_factors(check, factors);
  return check;
}

Tensor run(const Tensor& factors, const Weights& weights) {
  const int64_t B = factors.size(1), N = factors.size(2), D = factors.size(3);
  Tensor out = torch::stable::new_empty(factors, {B, N, D});
  dispatch(factors.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    const TaylorForecastParams<scalar_t> p{factors_of<scalar_t>(factors, weights),
                                           mutable_tokens_of<scalar_t>(out), B, N, D};
    run_on(factors, [&](auto queue) { return launch_taylor_forecast(p, queue); });
  });
  return out;
}

Tensor by_value(const Tensor& factors, double distance) {
  return run(factors, weights_of(check_input(factors), distance));
}

Tensor by_tensor(const Tensor& factors, const Tensor& weights) {
  const Check check = check_input(factors);
  return run(factors, weights_of(check, weights, factors.size(1), factors.size(0)));
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("taylor_forecast", TORCH_BOX(&clusca::by_value));
  m.impl("taylor_forecast.tensor", TORCH_BOX(&clusca::by_tensor));
}
