// From torch tensors to what kernels see (kernels/tensors.h). Arguments have been checked.
#pragma once

#include <cmath>
#include <optional>
#include <type_traits>

#include "kernels/clusters.h"
#include "ops/backend.h"
#include "ops/check.h"
#include "ops/text.h"

namespace clusca {

template <typename T>
Tokens<const T> tokens_of(const Tensor& t) {
  return {static_cast<const T*>(t.const_data_ptr()), t.stride(0), t.stride(1)};
}

template <typename T>
Tokens<T> mutable_tokens_of(const Tensor& t) {
  return {static_cast<T*>(t.mutable_data_ptr()), t.stride(0), t.stride(1)};
}

template <typename T>
Stack<const T> stack_of(const Tensor& t) {
  return {static_cast<const T*>(t.const_data_ptr()), t.stride(0), t.stride(1), t.stride(2)};
}

template <typename T>
Stack<T> mutable_stack_of(const Tensor& t) {
  return {static_cast<T*>(t.mutable_data_ptr()), t.stride(0), t.stride(1), t.stride(2)};
}

inline Dtype dtype_of(const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Half:
      return Dtype::kHalf;
    case ScalarType::BFloat16:
      return Dtype::kBFloat16;
    default:
      return Dtype::kFloat;
  }
}

// [D], [B, D], [B, 1, D] or [B, N, D]: dimensions that are missing or 1 are spread by stride 0.
inline Rows rows_of(const std::optional<Tensor>& t) {
  if (!t) return {};
  const int64_t dims = t->dim();
  const int64_t batch_stride = dims >= 2 ? t->stride(0) : 0;
  const int64_t token_stride = dims == 3 && t->size(1) > 1 ? t->stride(1) : 0;
  return {t->const_data_ptr(), dtype_of(*t), batch_stride, token_stride};
}

inline Indices indices_of(const Tensor& t) {
  return {static_cast<const int32_t*>(t.const_data_ptr()), t.stride(0)};
}

template <typename T>
Factors<T> factors_of(const Tensor& t, const Weights& weights) {
  return {static_cast<const T*>(t.const_data_ptr()),
          t.stride(0),
          t.stride(1),
          t.stride(2),
          static_cast<int>(t.size(0)),
          weights};
}

// Tokens as one factor of weight 1.
template <typename T>
Factors<std::remove_const_t<T>> one_factor(const Tokens<T>& tokens) {
  Weights weights{};
  weights.values[0] = 1.f;
  return {tokens.data, 0, tokens.batch_stride, tokens.token_stride, 1, weights};
}

// Taylor: distance^i / i!.
inline Weights weights_of(const Check& check, double distance) {
  check.require(std::isfinite(distance), "distance must be finite, got ", distance);
  Weights weights{};
  double weight = 1;
  for (int i = 0; i < Weights::kMaxFactors; weight *= distance / ++i) {
    weights.values[i] = static_cast<float>(weight);
  }
  return weights;
}

// Given weights: float32 [O + 1] or [B, O + 1] on the device of the first argument.
inline Weights weights_of(const Check& check, const Tensor& weights, int64_t B, int64_t count) {
  if (weights.dim() == 2) {
    check.tensor(weights, "weights", {B, count}, ScalarType::Float);
  } else {
    check.tensor(weights, "weights", {count}, ScalarType::Float);
  }
  return {static_cast<const float*>(weights.const_data_ptr()),
          weights.dim() == 2 ? weights.stride(0) : 0,
          {}};
}

inline Scalar gamma_of(const Check& check, double gamma) {
  check.require(gamma >= 0 && gamma <= 1, "gamma must be in [0, 1], got ", gamma);
  return {nullptr, static_cast<float>(gamma)};
}

inline Scalar gamma_of(const Check& check, const Tensor& gamma) {
  check.tensor(gamma, "gamma", {}, ScalarType::Float);
  return {static_cast<const float*>(gamma.const_data_ptr()), 0.f};
}

inline Metric metric_of(const Check& check, const Text& metric) {
  return check.one_of<Metric>(metric.value, "metric", {{"l2", Metric::kL2}, {"l1", Metric::kL1}});
}

inline Norm norm_of(const Check& check, const Text& norm) {
  return check.one_of<Norm>(norm.value, "norm",
                            {{"layer", Norm::kLayer}, {"rms", Norm::kRms}, {"none", Norm::kNone}});
}

inline Rule rule_of(const Check& check, const Text& rule) {
  return check.one_of<Rule>(rule.value, "rule", {{"value", Rule::kValue}, {"delta", Rule::kDelta}});
}

// Factors [O + 1, B, N, D] that come first.
inline void check_factors(const Check& check, const Tensor& factors) {
  check.floating(factors, "factors");
  const int64_t orders = factors.size(0);
  check.require(orders >= 1 && orders <= Weights::kMaxFactors, "factors must hold 1 to ",
                Weights::kMaxFactors, " orders, got ", orders);
  check.at_least_one(factors.size(3), "D of factors");
}

// A stream x [B, N, D] to which a module's gated forecast is added in place.
inline Check check_residual(const char* op, const Tensor& x, const Tensor& factors,
                            const std::optional<Tensor>& gate) {
  const Check check(op, x, "x", 3, "[B, N, D]");
  const int64_t B = x.size(0), N = x.size(1), D = x.size(2);
  check.floating(x, "x");
  check.writable(x, "x");
  check.at_least_one(D, "D of x");
  const int64_t orders = factors.dim() == 4 ? factors.size(0) : 0;
  check.require(orders >= 1 && orders <= Weights::kMaxFactors,
                "factors must be [O + 1, B, N, D] with 1 to ", Weights::kMaxFactors,
                " orders, got shape ", shape_of(factors));
  check.feature(factors, "factors", {orders, B, N, D});
  check.modulation(gate, "gate", B, N, D);
  return check;
}

// What the propagating ops say of their clusters, and the workspace it points into.
struct ClusterArguments {
  Tensor workspace;
  Clusters clusters;
};

inline ClusterArguments clusters_of(const Check& check, const Tensor& like, const Tensor& computed,
                                    const Tensor& representatives, const Tensor& cluster_ids,
                                    Scalar gamma, Rule rule, int64_t B, int64_t N, int64_t D) {
  check.require(computed.dim() == 3, "computed must be [B, K, D], got shape ", shape_of(computed));
  const int64_t K = computed.size(1);
  check.at_least_one(K, "K of computed");
  check.feature(computed, "computed", {B, K, D});
  check.tensor(representatives, "representatives", {B, K}, ScalarType::Int);
  check.tensor(cluster_ids, "cluster_ids", {B, N}, ScalarType::Int);
  Tensor workspace = torch::stable::new_empty(like, {B, K, D}, ScalarType::Float);
  float* correction = static_cast<float*>(workspace.mutable_data_ptr());
  return {workspace,
          {rows_of(computed), indices_of(representatives), indices_of(cluster_ids), correction, K,
           gamma, rule}};
}

}  // namespace clusca
