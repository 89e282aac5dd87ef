// What the propagating ops share: which token belongs to which cluster, and what the cluster adds.
//
//   M(n) = keep * forecast(n) + correction[c(n)]     for a token of a cluster with a representative
//   M(n) = computed[c(n)]                            for the representative itself, exactly
//   M(n) = forecast(n)                               for a token of an empty cluster
//
//   value rule:  keep = 1 - gamma,  correction[k] = gamma * computed[k]
//   delta rule:  keep = 1,          correction[k] = gamma * (computed[k] - forecast(rep[k]))
//
// The correction is one float32 row a cluster (K << N), made by a first small kernel, so that both
// rules cost the big kernel the same reads.
#pragma once

#include "kernels/tensors.h"

namespace clusca {

struct Clusters {
  Rows computed;            // [B, K, D]  what the representatives computed
  Indices representatives;  // [B, K]     tokens; outside [0, N): the cluster is empty
  Indices cluster_ids;      // [B, N]     outside [0, K): the token keeps the forecast
  float* correction;        // [B, K, D]  workspace, dense
  int64_t K;
  Scalar gamma;
  Rule rule;

  CLUSCA_HD float keep() const { return rule == Rule::kValue ? 1.f - gamma.get() : 1.f; }
  CLUSCA_HD float* correction_row(int64_t b, int64_t k, int64_t D) const {
    return correction + (b * K + k) * D;
  }
  // The token that represents cluster k, or -1 if the cluster is empty.
  CLUSCA_HD int64_t representative(int64_t b, int64_t k, int64_t N) const {
    const int64_t token = representatives.row(b)[k];
    return token >= 0 && token < N ? token : -1;
  }
  // The cluster of token n if it has a representative, else -1.
  CLUSCA_HD int64_t cluster(int64_t b, int64_t n, int64_t N) const {
    const int64_t k = cluster_ids.row(b)[n];
    return k >= 0 && k < K && representative(b, k, N) >= 0 ? k : -1;
  }
  // What token n of cluster k takes of the row its cluster has learnt.
  CLUSCA_HD float share(int64_t b, int64_t n, int64_t k) const {
    return representatives.row(b)[k] == n ? 1.f : gamma.get();
  }
};

}  // namespace clusca
