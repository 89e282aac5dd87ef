// The ops of lean storage on one side; compiled twice.
#include "side.h"

#ifdef CLUSCA_CUDA
#include "kernels/lean_accumulate.h"
#include "kernels/lean_output.h"
#else
#include "kernels/lean_accumulate_cpu.h"
#include "kernels/lean_output_cpu.h"
#endif

namespace SIDE {

void lean_accumulate(LeanAccumulateArguments& a) {
  dispatch(a.feature.format, [&](auto zero) {
    using F = decltype(zero);
    const clusca::LeanAccumulateParams<F> p{stack<float>(a.accumulators),
                                            tokens<const F>(a.feature),
                                            tokens<const float>(a.phi),
                                            a.C,
                                            a.B,
                                            a.N,
                                            a.D};
    clusca::launch_lean_accumulate(p, kQueue);
  });
}

void lean_output(LeanOutputArguments& a) {
  dispatch_any(a.x.format, a.sums.format, [&](auto x, auto s) {
    using X = decltype(x);
    using S = decltype(s);
    const clusca::LeanWeights weights{
        static_cast<float*>(a.weights.data()), a.weights.stride(a.is_turned ? 1 : 0),
        a.weights.stride(a.is_turned ? 0 : 1), a.weights.sizes.size() == 3};
    const clusca::LeanOutputParams<X, S> p{tokens<const X>(a.x),
                                           static_cast<X*>(a.out.data()),
                                           stack<const S>(a.sums),
                                           weights,
                                           clusters(a.learnt),
                                           rows(a.shift),
                                           rows(a.scale),
                                           rows(a.weight),
                                           rows(a.bias),
                                           a.eps,
                                           static_cast<clusca::Norm>(a.norm),
                                           a.J,
                                           a.B,
                                           a.N,
                                           a.D};
    clusca::launch_lean_output(p, kQueue);
  });
}

}  // namespace SIDE
