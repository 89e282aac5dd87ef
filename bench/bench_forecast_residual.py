"""forecast_residual_ against one addcmul_ a factor."""

from clusca_ext.measuring.operators import forecast_residual as operator

CASES = operator.CASES


def bench_forecast_residual(measure, case):
    measure(operator.work(case))
