// torch.ops.clusca.forecast_residual_: checks, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/forecast_residual.h"
#else
#include "kernels/forecast_residual_cpu.h"
#endif
#include "ops/views.h"

namespace clusca {
namespace {

void run(const Tensor& x, const Tensor& factors, const std::optional<Tensor>& gate,
         const Weights& weights) {
  dispatch(x.scalar_type(), factors.scalar_type(), [&](auto x_zero, auto f_zero) {
    using x_t = decltype(x_zero);
    using f_t = decltype(f_zero);
    const ForecastResidualParams<x_t, f_t> p{mutable_tokens_of<x_t>(x),
                                             factors_of<f_t>(factors, weights),
                                             rows_of(gate),
                                             x.size(0),
                                             x.size(1),
                                             x.size(2)};
    run_on(x, [&](auto queue) { return launch_forecast_residual(p, queue); });
  });
}

void by_value(const Tensor& x, const Tensor& factors, const std::optional<Tensor>& gate,
              double distance) {
  const Check check = check_residual("forecast_residual_", x, factors, gate);
  run(x, factors, gate, weights_of(check, distance));
}

void by_tensor(const Tensor& x, const Tensor& factors, const std::optional<Tensor>& gate,
               const Tensor& weights) {
  const Check check = check_residual("forecast_residual_", x, factors, gate);
  run(x, factors, gate, weights_of(check, weights, x.size(0), factors.size(0)));
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("forecast_residual_", TORCH_BOX(&clusca::by_value));
  m.impl("forecast_residual_.tensor", TORCH_BOX(&clusca::by_tensor));
}
