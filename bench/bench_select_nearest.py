"""select_nearest against the lowest of (distance, token) pairs packed into int64."""

from clusca_ext.measuring.operators import select_nearest as operator

CASES = operator.CASES


def bench_select_nearest(measure, case):
    measure(operator.work(case))
