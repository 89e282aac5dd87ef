// The ops of many modules on one side; compiled twice.
#include "side.h"

#ifdef CLUSCA_CUDA
#include "kernels/carry_representatives.h"
#include "kernels/collapse_forecasts.h"
#include "kernels/collapsed_residual.h"
#else
#include "kernels/carry_representatives_cpu.h"
#include "kernels/collapse_forecasts_cpu.h"
#include "kernels/collapsed_residual_cpu.h"
#endif

namespace SIDE {

void carry_representatives(CarryArguments& a) {
  dispatch(a.factors.format, [&](auto zero) {
    using F = decltype(zero);
    const clusca::CarryRepresentativesParams<F> p{
        tokens<float>(a.offset),
        tokens<float>(a.correction),
        factors<F>(a.factors, weights(a.weights, a.weight_values)),
        indices(a.representatives),
        rows(a.gate),
        rows(a.computed),
        a.B,
        a.N,
        a.K,
        a.D};
    clusca::launch_carry_representatives(p, kQueue);
  });
}

void collapsed_residual(CollapseArguments& a) {
  const auto run = [&](auto x, auto f) {
    using X = decltype(x);
    using F = decltype(f);
    clusca::CollapsedResidualParams<X, F> p{};
    p.x = tokens<const X>(a.x), p.out = tokens<X>(a.out);
    std::optional<Array> by_value;
    p.like = factors<F>(a.modules[0].factors, weights(by_value, a.weight_values));
    for (ModuleArguments& module : a.modules) {
      const clusca::Weights own = weights(module.weights, a.weight_values);
      const clusca::Rows gate = rows(module.gate);
      p.modules[p.count++] = {module.factors.data(),
                              own.data,
                              gate.data,
                              gate.batch_stride,
                              gate.token_stride,
                              static_cast<int32_t>(own.batch_stride),
                              gate.dtype};
    }
    p.clusters = clusters(a.learnt);
    p.B = a.B, p.N = a.N, p.D = a.D;
    clusca::launch_collapsed_residual(p, kQueue);
  };
  dispatch_any(a.x.format, a.modules[0].factors.format, run);
}

void collapse_forecasts(SumsArguments& a) {
  dispatch(a.modules[0].factors.format, [&](auto zero) {
    using F = decltype(zero);
    clusca::CollapseForecastsParams<F> p{};
    const clusca::Factors<F> like = factors<F>(a.modules[0].factors, {});
    p.order_stride = like.order_stride, p.batch_stride = like.batch_stride;
    p.token_stride = like.token_stride, p.orders = like.count;
    p.sums = stack<float>(a.sums);
    p.steps = static_cast<int>(a.S), p.adds = a.adds;
    p.B = a.B, p.N = a.N, p.D = a.D;
    for (ForecastArguments& module : a.modules) {
      const clusca::Rows gate = rows(module.gate);
      p.modules[p.count++] = {module.factors.data(),
                              static_cast<float*>(module.weights.data()),
                              gate.data,
                              gate.batch_stride,
                              gate.token_stride,
                              static_cast<int32_t>(module.weights.stride(0)),
                              gate.dtype};
    }
    clusca::launch_collapse_forecasts(p, kQueue);
  });
}

}  // namespace SIDE
