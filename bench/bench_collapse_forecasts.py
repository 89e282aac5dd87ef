"""What many modules forecast for five steps, summed at once, against one addcmul_ a factor."""

from clusca_ext.measuring.operators import collapse_forecasts as operator

CASES = operator.CASES


def bench_collapse_forecasts(measure, case):
    measure(operator.work(case))
