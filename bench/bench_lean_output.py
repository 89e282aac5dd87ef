"""The stream after a lean cached step and the norm that follows it, against torch's one by one."""

from clusca_ext.measuring.operators import lean_output as operator

CASES = operator.CASES


def bench_lean_output(measure, case):
    measure(operator.work(case))
