// CPU kernel of taylor_forecast; the equation is in taylor_forecast.h.
#pragma once

#include "kernels/taylor_forecast.h"
#include "kernels/token_row_cpu.h"

namespace clusca {

template <typename scalar_t, typename Pool>
void launch_taylor_forecast(const TaylorForecastParams<scalar_t>& p, const Pool& pool) {
  forecast_tokens<Into::kStore>(p.out, p.factors, Rows{}, p.B, p.N, p.D, pool);
}

}  // namespace clusca
