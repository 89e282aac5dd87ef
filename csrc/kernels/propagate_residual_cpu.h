// CPU kernel of propagate_residual_; the equation is in propagate_residual.h.
#pragma once

#include "kernels/propagate_residual.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

template <typename x_t, typename f_t, typename Pool>
void launch_propagate_residual(const PropagateResidualParams<x_t, f_t>& p, const Pool& pool) {
  propagate_tokens<Into::kAdd>(p.x, p.factors, p.clusters, p.gate, p.B, p.N, p.D, pool);
}

}  // namespace clusca
