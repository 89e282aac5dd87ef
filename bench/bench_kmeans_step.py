"""kmeans_step against assignment, then sums by cluster: the tokens are read twice."""

from dataclasses import replace

import peers_flash
from clusca_ext import ops
from clusca_ext.measuring.operators import kmeans_step as operator
from kmeans_variants import variants_of

CASES = operator.CASES


def variants(case):
    flash = peers_flash.step, peers_flash.step_by_product
    return variants_of(case, ops.kmeans_step, operator.plain, *flash)


def bench_kmeans_step(measure, case):
    measure(replace(operator.work(case), variants=variants(case)))
