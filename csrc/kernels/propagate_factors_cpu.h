// CPU kernel of propagate_factors_; the equation is in propagate_factors.h.
#pragma once

#include "kernels/propagate_factors.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

template <typename scalar_t, typename Pool>
void launch_propagate_factors(const PropagateFactorsParams<scalar_t>& p, const Pool& pool) {
  propagate_tokens<Into::kStore>(p.out, p.order0, p.clusters, Rows{}, p.B, p.N, p.D, pool);
}

}  // namespace clusca
