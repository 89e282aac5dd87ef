// torch.ops.clusca.collapse_forecasts_: checks, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/collapse_forecasts.h"
#else
#include "kernels/collapse_forecasts_cpu.h"
#endif
#include "ops/modules.h"
#include "ops/views.h"

namespace clusca {
namespace {

constexpr int64_t kMaxSteps = CollapseForecastsParams<float>::kMaxSteps;

void check_all(const Tensor& sums, const Tensors& factors, const Gates& gates,
               const Tensors& weights) {
  const Check check("collapse_forecasts_", sums, "sums", 4, "[S, B, N, D]");
  const int64_t S = sums.size(0), B = sums.size(1), N = sums.size(2), D = sums.size(3);
  check.tensor(sums, "sums", {S, B, N, D}, ScalarType::Float);
  check.require(S >= 1 && S <= kMaxSteps, "sums must hold 1 to ", kMaxSteps, " steps, got ", S);
  check.at_least_one(D, "D of sums");
  check.at_most_int32(N, "N of sums");
  check.at_most_int32(D, "D of sums");
  check.writable(sums, "sums");
  check_modules(check, factors, gates, B, N, D);
  check.require(weights.size() == factors.size(), "weights must be ", factors.size(),
                " as factors, got ", weights.size());
  for (size_t m = 0; m < factors.size(); ++m) {
    const std::string gate = item("gates", m), weight = item("weights", m);
    if (gates[m]) {
      const bool fits = gates[m]->dim() == 3 && gates[m]->size(0) == S && gates[m]->size(2) == D &&
                        (gates[m]->size(1) == B || gates[m]->size(1) == 1);
      check.require(fits, gate, " must have shape [", S, ", ", B, ", ", D, "] or [", S, ", 1, ", D,
                    "], got ", shape_of(*gates[m]));
      check.floating(*gates[m], gate.c_str(), {S, gates[m]->size(1), D});
    }
    check.tensor(weights[m], weight.c_str(), {S, factors[0].size(0)}, ScalarType::Float);
    if (S > 1) check.at_most_int32(weights[m].stride(0), ("stride of " + weight).c_str());
  }
}

// In as many launches as modules demand; all but the first add to what is there.
template <typename f_t>
void run_as(const Tensor& sums, const Tensors& factors, const Gates& gates,
            const Tensors& weights) {
  CollapseForecastsParams<f_t> p{};
  p.sums = mutable_stack_of<float>(sums);
  const Tensor& first = factors[0];
  p.order_stride = first.stride(0), p.batch_stride = first.stride(1);
  p.token_stride = first.stride(2), p.orders = static_cast<int>(first.size(0));
  p.steps = static_cast<int>(sums.size(0));
  p.B = sums.size(1), p.N = sums.size(2), p.D = sums.size(3);
  for (size_t m = 0; m < factors.size(); ++m) {
    ForecastModule& module = p.modules[p.count++];
    module = {factors[m].const_data_ptr(),
              static_cast<const float*>(weights[m].const_data_ptr()),
              nullptr,
              0,
              0,
              static_cast<int32_t>(weights[m].stride(0)),
              Dtype::kFloat};
    if (gates[m]) {
      module.gate = gates[m]->const_data_ptr(), module.gate_dtype = dtype_of(*gates[m]);
      module.gate_step_stride = gates[m]->stride(0);
      module.gate_batch_stride = gates[m]->size(1) > 1 ? gates[m]->stride(1) : 0;
    }
    if (p.count < p.kMaxModules && m + 1 < factors.size()) continue;
    run_on(sums, [&](auto queue) { return launch_collapse_forecasts(p, queue); });
    p.count = 0, p.adds = true;
  }
}

void run(const Tensor& sums, const Tensors& factors, const Gates& gates, const Tensors& weights) {
  check_all(sums, factors, gates, weights);
  dispatch(factors[0].scalar_type(),
           [&](auto zero) { run_as<decltype(zero)>(sums, factors, gates, weights); });
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("collapse_forecasts_", TORCH_BOX(&clusca::run));
}
