// CPU kernel of cluster_propagate; the equation is in cluster_propagate.h.
#pragma once

#include "kernels/cluster_propagate.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

template <typename scalar_t, typename Pool>
void launch_cluster_propagate(const ClusterPropagateParams<scalar_t>& p, const Pool& pool) {
  propagate_tokens<Into::kStore>(p.out, p.forecast, p.clusters, Rows{}, p.B, p.N, p.D, pool);
}

}  // namespace clusca
