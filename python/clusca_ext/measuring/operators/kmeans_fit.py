"""kmeans_fit against as many plain Lloyd iterations, without a test of convergence."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import crowded_start, nbytes, shared, surface_tokens
from clusca_ext.measuring.peers_kmeans import (
    cluster_sums,
    cluster_sums_by_product,
    l2_distances,
    means,
    nearest,
    nearest_fusible,
    widened,
)
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Function, Work

CASES = [
    # Of 256 tokens many clusters converge before the tenth iteration.
    replace(case, I=5) if case.K > 16 and case.model.N <= 256 else case
    for case in cases(K=CLUSTERS, metric=("l2", "l1"), I=(10,))
]


def move(
    tokens: Tensor,
    centroids: Tensor,
    metric: str,
    nearest: Function = nearest,
    sums_of: Function = cluster_sums,
) -> Any:
    ids, _ = nearest(tokens, centroids, metric)
    sums, counts = sums_of(tokens, ids, centroids.shape[1])
    return means(sums, counts, centroids)


def label(tokens: Tensor, centroids: Tensor, metric: str, nearest: Function = nearest) -> Any:
    ids, lowest = nearest(tokens, centroids, metric)
    return ids.int(), l2_distances(tokens, lowest) if metric == "l2" else lowest, centroids


def plain(
    tokens: Tensor,
    centroids: Tensor,
    metric: str,
    iterations: int,
    move: Function = move,
    label: Function = label,
) -> Any:
    tokens = widened(tokens)
    for _ in range(iterations):
        centroids = move(tokens, centroids, metric)
    return label(tokens, centroids, metric)


def in_parts(compile: Function) -> Any:
    """One iteration compiled: a graph of all takes half a minute to compile."""
    moved = partial(move, nearest=nearest_fusible, sums_of=cluster_sums_by_product)
    labelled = partial(label, nearest=nearest_fusible)
    return partial(plain, move=compile(moved), label=compile(labelled))


def fit(tokens: Tensor, centroids: Tensor, metric: str, iterations: int, **kernel: str) -> Any:
    return ops.kmeans_fit(tokens, centroids, metric, max_iters=iterations, rtol=0.0, **kernel)[:3]


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    tokens = surface_tokens(case)
    start = crowded_start(tokens, case.K)
    iterations = ops.kmeans_fit(tokens, start, case.metric, case.I, 0.0)[4].float().mean()
    assert iterations > 0.95 * case.I, "rows that converge early would do less work"
    return tokens, start, case.metric, case.I


def work(case: Case) -> Work:
    tokens, start, *_ = args = arguments(case)
    return Work(
        fit,
        plain,
        args,
        bytes_moved=nbytes(tokens, start),
        multiply_adds=case.multiply_adds,
        passes=case.I + 1,  # the last one only labels
        in_parts=in_parts,
        comparable=case.dtype == torch.float32,  # rounded centroids take other paths
    )
