// The ops of many modules on one side; compiled twice.
#include "side.h"

#ifdef CLUSCA_CUDA
#include "kernels/carry_representatives.h"
#include "kernels/collapsed_residual.h"
#else
#include "kernels/carry_representatives_cpu.h"
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
  dispatch(a.x.format, a.modules[0].factors.format, [&](auto x, auto f) {
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
    if (a.correction) {
      const clusca::Scalar gamma{a.gamma ? static_cast<float*>(a.gamma->data()) : nullptr,
                                 a.gamma_value};
      p.clusters = {rows(a.correction),
                    indices(a.representatives),
                    indices(a.cluster_ids),
                    nullptr,
                    a.K,
                    gamma,
                    clusca::Rule::kValue};
    }
    p.B = a.B, p.N = a.N, p.D = a.D;
    clusca::launch_collapsed_residual(p, kQueue);
  });
}

}  // namespace SIDE
