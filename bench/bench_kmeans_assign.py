"""kmeans_assign against a matrix product and its lowest entries (l2) or torch.cdist (l1)."""

from dataclasses import replace

import peers_flash
from clusca_ext import ops
from clusca_ext.measuring.operators import kmeans_assign as operator
from kmeans_variants import variants_of

CASES = operator.CASES


def variants(case):
    flash = peers_flash.assign
    return variants_of(case, ops.kmeans_assign, operator.plain, flash, flash)


def bench_kmeans_assign(measure, case):
    measure(replace(operator.work(case), variants=variants(case)))
