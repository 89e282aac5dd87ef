// torch.ops.clusca.collapsed_residual: checks, allocation, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/collapsed_residual.h"
#else
#include "kernels/collapsed_residual_cpu.h"
#endif
#include "ops/learnt.h"
#include "ops/modules.h"
#include "ops/views.h"

namespace clusca {
namespace {

struct Arguments {
  const Tensor& x;
  const Tensors& factors;
  const Gates& gates;
  const Learnt learnt;
};

Check check_all(const Arguments& a, bool has_gamma) {
  const Check check("collapsed_residual", a.x, "x", 3, "[B, N, D]");
  check.floating(a.x, "x");
  check.at_least_one(a.x.size(2), "D of x");
  const int64_t N = a.x.size(1), D = a.x.size(2);
  check_modules(check, a.factors, a.gates, a.x.size(0), N, D);
  const ScalarType x = a.x.scalar_type(), f = a.factors[0].scalar_type();
  check.require(x == f || x == ScalarType::Float || f == ScalarType::Float, "factors[0] must be ",
                dtype_name(x), " or float32, got ", dtype_name(f));
  for (size_t m = 0; m < a.gates.size(); ++m) {
    check.modulation(a.gates[m], item("gates", m).c_str(), a.x.size(0), N, D);
  }
  check_learnt(check, a.learnt, has_gamma, a.x.size(0), N, D);
  return check;
}

// In as many launches as modules demand; the last one corrects.
template <typename x_t, typename f_t>
void run_as(const Arguments& a, const std::vector<Weights>& weights, Scalar gamma,
            const Tensor& out) {
  CollapsedResidualParams<x_t, f_t> p{};
  p.x = tokens_of<x_t>(a.x), p.out = mutable_tokens_of<x_t>(out);
  p.like = factors_of<f_t>(a.factors[0], weights[0]);
  p.B = a.x.size(0), p.N = a.x.size(1), p.D = a.x.size(2);
  for (size_t m = 0; m < a.factors.size(); ++m) {
    const Rows gate = rows_of(a.gates[m]);
    p.modules[p.count++] = {a.factors[m].const_data_ptr(),
                            weights[m].data,
                            gate.data,
                            gate.batch_stride,
                            gate.token_stride,
                            static_cast<int32_t>(weights[m].batch_stride),
                            gate.dtype};
    const bool is_last = m + 1 == a.factors.size();
    if (p.count < p.kMaxModules && !is_last) continue;
    if (is_last) p.clusters = clusters_of(a.learnt, gamma);
    run_on(a.x, [&](auto queue) { return launch_collapsed_residual(p, queue); });
    p.x = tokens_of<x_t>(out), p.count = 0;
  }
}

Tensor run(const Arguments& a, const std::vector<Weights>& weights, Scalar gamma) {
  Tensor out = torch::stable::new_empty(a.x, {a.x.size(0), a.x.size(1), a.x.size(2)});
  const auto run_both = [&](auto x_zero, auto f_zero) {
    run_as<decltype(x_zero), decltype(f_zero)>(a, weights, gamma, out);
  };
  // Factors of float32 may be sums of many modules, made by collapse_forecasts_.
  dispatch_any(a.x.scalar_type(), a.factors[0].scalar_type(), run_both);
  return out;
}

Tensor by_value(const Tensor& x, const Tensors& factors, const Gates& gates, double distance,
                const std::optional<Tensor>& correction,
                const std::optional<Tensor>& representatives,
                const std::optional<Tensor>& cluster_ids, std::optional<double> gamma) {
  const Arguments a{x, factors, gates, {correction, representatives, cluster_ids}};
  const Check check = check_all(a, gamma.has_value());
  const std::vector<Weights> weights(factors.size(), weights_of(check, distance));
  return run(a, weights, gamma ? gamma_of(check, *gamma) : Scalar{});
}

Tensor by_tensor(const Tensor& x, const Tensors& factors, const Gates& gates,
                 const Tensors& weights, const std::optional<Tensor>& correction,
                 const std::optional<Tensor>& representatives,
                 const std::optional<Tensor>& cluster_ids, const std::optional<Tensor>& gamma) {
  const Arguments a{x, factors, gates, {correction, representatives, cluster_ids}};
  const Check check = check_all(a, gamma.has_value());
  check.require(weights.size() == factors.size(), "weights must be ", factors.size(),
                " as factors, got ", weights.size());
  std::vector<Weights> each;
  for (const Tensor& given : weights) {
    each.push_back(weights_of(check, given, x.size(0), factors[0].size(0)));
    check.at_most_int32(each.back().batch_stride, "stride of weights");
  }
  return run(a, each, gamma ? gamma_of(check, *gamma) : Scalar{});
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("collapsed_residual", TORCH_BOX(&clusca::by_value));
  m.impl("collapsed_residual.tensor", TORCH_BOX(&clusca::by_tensor));
}
