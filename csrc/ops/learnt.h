// What clusters have learnt from their representatives, as carry_representatives_ sums it and the
// ops that spread it over all tokens take it: all of it or nothing.
#pragma once

#include <optional>

#include "ops/views.h"

namespace clusca {

struct Learnt {
  const std::optional<Tensor>&correction, &representatives, &cluster_ids;
};

inline void check_learnt(const Check& check, const Learnt& learnt, bool has_gamma, int64_t B,
                         int64_t N, int64_t D) {
  const auto& [correction, representatives, cluster_ids] = learnt;
  const bool given = correction.has_value();
  check.require(representatives.has_value() == given && cluster_ids.has_value() == given &&
                    has_gamma == given,
                "correction, representatives, cluster_ids and gamma must be given together");
  if (!given) return;
  check.require(correction->dim() == 3, "correction must be [B, K, D], got shape ",
                shape_of(*correction));
  const int64_t K = correction->size(1);
  check.at_least_one(K, "K of correction");
  check.tensor(*correction, "correction", {B, K, D}, ScalarType::Float);
  check.tensor(*representatives, "representatives", {B, K}, ScalarType::Int);
  check.tensor(*cluster_ids, "cluster_ids", {B, N}, ScalarType::Int);
}

inline Clusters clusters_of(const Learnt& learnt, Scalar gamma) {
  const auto& [correction, representatives, cluster_ids] = learnt;
  if (!correction) return {};
  return {rows_of(correction),
          indices_of(*representatives),
          indices_of(*cluster_ids),
          nullptr,
          correction->size(1),
          gamma,
          Rule::kValue};
}

}  // namespace clusca
