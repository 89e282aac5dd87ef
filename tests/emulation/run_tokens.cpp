// The token ops on one side; compiled twice.
#include "side.h"

#ifdef CLUSCA_CUDA
#include "kernels/cluster_propagate.h"
#include "kernels/forecast_residual.h"
#include "kernels/propagate_factors.h"
#include "kernels/propagate_residual.h"
#include "kernels/taylor_forecast.h"
#include "kernels/taylor_update.h"
#else
#include "kernels/cluster_propagate_cpu.h"
#include "kernels/forecast_residual_cpu.h"
#include "kernels/propagate_factors_cpu.h"
#include "kernels/propagate_residual_cpu.h"
#include "kernels/taylor_forecast_cpu.h"
#include "kernels/taylor_update_cpu.h"
#endif

namespace SIDE {
namespace {

template <typename T>
clusca::Factors<T> factors(TokenArguments& a) {
  return SIDE::factors<T>(a.factors, weights(a.weights, a.weight_values));
}

// The first factor alone, with weight 1.
template <typename T>
clusca::Factors<T> order0(TokenArguments& a) {
  clusca::Factors<T> order0 = factors<T>(a);
  order0.order_stride = 0, order0.count = 1;
  order0.weights = {nullptr, 0, {1.f}};
  return order0;
}

clusca::Clusters clusters(TokenArguments& a) {
  const clusca::Scalar gamma{a.gamma ? static_cast<float*>(a.gamma->data()) : nullptr,
                             a.gamma_value};
  return {rows(a.computed),
          indices(a.representatives),
          indices(a.cluster_ids),
          static_cast<float*>(a.correction.data()),
          a.K,
          gamma,
          a.delta ? clusca::Rule::kDelta : clusca::Rule::kValue};
}

}  // namespace

void taylor_update(TokenArguments& a) {
  dispatch(a.factors.format, [&](auto zero) {
    using T = decltype(zero);
    const clusca::TaylorUpdateParams<T> p{static_cast<T*>(a.factors.data()),
                                          a.factors.stride(0),
                                          a.factors.stride(1),
                                          a.factors.stride(2),
                                          rows(a.feature),
                                          static_cast<int>(a.factors.size(0)),
                                          weights(a.rates, a.rate_values),
                                          a.B,
                                          a.N,
                                          a.D};
    clusca::launch_taylor_update(p, kQueue);
  });
}

void taylor_forecast(TokenArguments& a) {
  dispatch(a.factors.format, [&](auto zero) {
    using T = decltype(zero);
    const clusca::TaylorForecastParams<T> p{factors<T>(a), tokens<T>(a.out), a.B, a.N, a.D};
    clusca::launch_taylor_forecast(p, kQueue);
  });
}

void forecast_residual(TokenArguments& a) {
  dispatch(a.x.format, a.factors.format, [&](auto x, auto f) {
    using X = decltype(x);
    using F = decltype(f);
    const clusca::ForecastResidualParams<X, F> p{
        tokens<X>(a.x), factors<F>(a), rows(a.gate), a.B, a.N, a.D};
    clusca::launch_forecast_residual(p, kQueue);
  });
}

void propagate_residual(TokenArguments& a) {
  dispatch(a.x.format, a.factors.format, [&](auto x, auto f) {
    using X = decltype(x);
    using F = decltype(f);
    const clusca::PropagateResidualParams<X, F> p{
        tokens<X>(a.x), factors<F>(a), clusters(a), rows(a.gate), a.B, a.N, a.D};
    clusca::launch_propagate_residual(p, kQueue);
  });
}

void propagate_factors(TokenArguments& a) {
  dispatch(a.factors.format, [&](auto zero) {
    using T = decltype(zero);
    const clusca::Tokens<T> out{static_cast<T*>(a.factors.data()), a.factors.stride(1),
                                a.factors.stride(2)};
    clusca::Clusters by_value = clusters(a);
    by_value.rule = clusca::Rule::kValue;
    const clusca::PropagateFactorsParams<T> p{order0<T>(a), by_value, out, a.B, a.N, a.D};
    clusca::launch_propagate_factors(p, kQueue);
  });
}

void cluster_propagate(TokenArguments& a) {
  dispatch(a.factors.format, [&](auto zero) {
    using T = decltype(zero);
    const clusca::ClusterPropagateParams<T> p{order0<T>(a), clusters(a), tokens<T>(a.out),
                                              a.B,          a.N,         a.D};
    clusca::launch_cluster_propagate(p, kQueue);
  });
}

}  // namespace SIDE
