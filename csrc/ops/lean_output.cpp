// torch.ops.clusca.lean_output: checks, allocation, dtype dispatch, registration.
#ifdef CLUSCA_CUDA
#include "kernels/lean_output.h"
#else
#include "kernels/lean_output_cpu.h"
#endif
#include "ops/learnt.h"
#include "ops/views.h"

namespace clusca {
namespace {

struct Arguments {
  const Tensor &x, &sums, &weights;
  const Learnt learnt;
  const std::optional<Tensor>&shift, &scale, &weight, &bias;
  const double eps;
};

Check check_all(const Arguments& a, bool has_gamma) {
  const Check check("lean_output", a.x, "x", 3, "[B, N, D]");
  const int64_t B = a.x.size(0), N = a.x.size(1), D = a.x.size(2);
  check.floating(a.x, "x");
  check.at_least_one(D, "D of x");
  check.require(a.sums.dim() == 4, "sums must be [J, B, N, D], got shape ", shape_of(a.sums));
  const int64_t J = a.sums.size(0);
  check.at_least_one(J, "J of sums");
  check.floating(a.sums, "sums", {J, B, N, D});
  const ScalarType x = a.x.scalar_type(), sums = a.sums.scalar_type();
  check.require(x == sums || x == ScalarType::Float || sums == ScalarType::Float, "sums must be ",
                dtype_name(x), " or float32, got ", dtype_name(sums));
  if (a.weights.dim() == 3) {
    check.tensor(a.weights, "weights", {J, B, D}, ScalarType::Float);
  } else {
    check.numbers(a.weights, "weights", {J, B}, ScalarType::Float);
  }
  check_learnt(check, a.learnt, has_gamma, B, N, D);
  check.modulation(a.shift, "shift", B, N, D);
  check.modulation(a.scale, "scale", B, N, D);
  check.require(a.eps >= 0, "eps must be at least 0, got ", a.eps);
  check.affine(a.weight, "weight", D);
  check.affine(a.bias, "bias", D);
  return check;
}

Tensor run(const Arguments& a, const Check& check, Scalar gamma, const Text& norm) {
  const int64_t B = a.x.size(0), N = a.x.size(1), D = a.x.size(2);
  const Norm kind = norm_of(check, norm);
  const auto& weights = a.weights;
  Tensor out = torch::stable::new_empty(a.x, {B, N, D});
  dispatch_any(a.x.scalar_type(), a.sums.scalar_type(), [&](auto x_zero, auto s_zero) {
    using x_t = decltype(x_zero);
    using s_t = decltype(s_zero);
    const LeanOutputParams<x_t, s_t> p{tokens_of<x_t>(a.x),
                                       static_cast<x_t*>(out.mutable_data_ptr()),
                                       stack_of<s_t>(a.sums),
                                       {static_cast<const float*>(weights.const_data_ptr()),
                                        weights.stride(0), weights.stride(1), weights.dim() == 3},
                                       clusters_of(a.learnt, gamma),
                                       rows_of(a.shift),
                                       rows_of(a.scale),
                                       rows_of(a.weight),
                                       rows_of(a.bias),
                                       static_cast<float>(a.eps),
                                       kind,
                                       a.sums.size(0),
                                       B,
                                       N,
                                       D};
    check.require(!p.follows() || D <= p.kMostNormed, "D of x must be at most ", p.kMostNormed,
                  " where rows are normed or modulated, got ", D);
    run_on(a.x, [&](auto queue) { return launch_lean_output(p, queue); });
  });
  return out;
}

using Maybe = std::optional<Tensor>;

Tensor by_value(const Tensor& x, const Tensor& sums, const Tensor& weights, const Maybe& correction,
                const Maybe& representatives, const Maybe& cluster_ids, std::optional<double> gamma,
                const Maybe& shift, const Maybe& scale, double eps, const Maybe& weight,
                const Maybe& bias, const Text& norm) {
  const Learnt learnt{correction, representatives, cluster_ids};
  const Arguments a{x, sums, weights, learnt, shift, scale, weight, bias, eps};
  const Check check = check_all(a, gamma.has_value());
  return run(a, check, gamma ? gamma_of(check, *gamma) : Scalar{}, norm);
}

Tensor by_tensor(const Tensor& x, const Tensor& sums, const Tensor& weights,
                 const Maybe& correction, const Maybe& representatives, const Maybe& cluster_ids,
                 const Maybe& gamma, const Maybe& shift, const Maybe& scale, double eps,
                 const Maybe& weight, const Maybe& bias, const Text& norm) {
  const Learnt learnt{correction, representatives, cluster_ids};
  const Arguments a{x, sums, weights, learnt, shift, scale, weight, bias, eps};
  const Check check = check_all(a, gamma.has_value());
  return run(a, check, gamma ? gamma_of(check, *gamma) : Scalar{}, norm);
}

}  // namespace
}  // namespace clusca

STABLE_TORCH_LIBRARY_IMPL(clusca, CLUSCA_DISPATCH_KEY, m) {
  m.impl("lean_output", TORCH_BOX(&clusca::by_value));
  m.impl("lean_output.tensor", TORCH_BOX(&clusca::by_tensor));
}
