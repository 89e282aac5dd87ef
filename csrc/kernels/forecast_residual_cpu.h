// CPU kernel of forecast_residual_; the equation is in forecast_residual.h.
#pragma once

#include "kernels/forecast_residual.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

template <typename x_t, typename f_t, typename Pool>
void launch_forecast_residual(const ForecastResidualParams<x_t, f_t>& p, const Pool& pool) {
  forecast_tokens<Into::kAdd>(p.x, p.factors, p.gate, p.B, p.N, p.D, pool);
}

}  // namespace clusca
