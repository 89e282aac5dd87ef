"""taylor_forecast against a chain of scaled additions."""

from clusca_ext.measuring.operators import taylor_forecast as operator

CASES = operator.CASES


def bench_taylor_forecast(measure, case):
    measure(operator.work(case))
