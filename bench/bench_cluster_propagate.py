"""cluster_propagate against selected rows and lerp (value) or their difference added (delta)."""

from clusca_ext.measuring.operators import cluster_propagate as operator

CASES = operator.CASES


def bench_cluster_propagate(measure, case):
    measure(operator.work(case))
