"""kmeans_fit against as many plain Lloyd iterations, without a test of convergence."""

from dataclasses import replace
from functools import partial

import torch

import peers_flash
from clusca_ext import ops
from inputs import crowded_start, nbytes, shared, surface_tokens
from kmeans_variants import variants_of
from peers_kmeans import (
    cluster_sums,
    cluster_sums_by_product,
    l2_distances,
    means,
    nearest,
    nearest_fusible,
    widened,
)
from shapes import CLUSTERS, cases

CASES = [
    # Of 256 tokens many clusters converge before the tenth iteration.
    replace(case, I=5) if case.K > 16 and case.model.N <= 256 else case
    for case in cases(K=CLUSTERS, metric=("l2", "l1"), I=(10,))
]


def move(tokens, centroids, metric, nearest=nearest, sums_of=cluster_sums):
    ids, _ = nearest(tokens, centroids, metric)
    return means(*sums_of(tokens, ids, centroids.shape[1]), centroids)


def label(tokens, centroids, metric, nearest=nearest):
    ids, lowest = nearest(tokens, centroids, metric)
    return ids.int(), l2_distances(tokens, lowest) if metric == "l2" else lowest, centroids


def plain(tokens, centroids, metric, iterations, move=move, label=label):
    tokens = widened(tokens)
    for _ in range(iterations):
        centroids = move(tokens, centroids, metric)
    return label(tokens, centroids, metric)


def in_parts(compile):
    """One iteration compiled: a graph of all takes half a minute to compile."""
    moved = partial(move, nearest=nearest_fusible, sums_of=cluster_sums_by_product)
    labelled = partial(label, nearest=nearest_fusible)
    return partial(plain, move=compile(moved), label=compile(labelled))


def fit(tokens, centroids, metric, iterations, **kernel):
    return ops.kmeans_fit(tokens, centroids, metric, max_iters=iterations, rtol=0.0, **kernel)[:3]


def variants(case):
    return variants_of(case, fit, plain, peers_flash.fit, peers_flash.fit_by_product)


@shared
def arguments(case):
    tokens = surface_tokens(case)
    start = crowded_start(tokens, case.K)
    iterations = ops.kmeans_fit(tokens, start, case.metric, case.I, 0.0)[4].float().mean()
    assert iterations > 0.95 * case.I, "rows that converge early would do less work"
    return tokens, start, case.metric, case.I


def bench_kmeans_fit(measure, case):
    tokens, start, *_ = args = arguments(case)
    measure(
        fit,
        plain,
        args,
        bytes_moved=nbytes(tokens, start),
        multiply_adds=case.multiply_adds,
        variants=variants(case),
        passes=case.I + 1,  # the last one only labels
        in_parts=in_parts,
        comparable=case.dtype == torch.float32,  # rounded centroids take other paths
    )
