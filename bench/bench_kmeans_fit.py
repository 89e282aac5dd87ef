"""kmeans_fit against as many plain Lloyd iterations, without a test of convergence."""

from functools import partial

import torch

from clusca_ext import ops
from inputs import crowded_start, nbytes, shared, surface_tokens
from peers_kmeans import (
    cluster_sums,
    cluster_sums_by_product,
    l2_distances,
    nearest,
    nearest_fusible,
    widened,
)
from shapes import cases

CASES = cases(K=(16, 256), metric=("l2", "l1"), I=(10,))


def move(tokens, centroids, metric, nearest=nearest, sums_of=cluster_sums):
    ids, _ = nearest(tokens, centroids, metric)
    sums, counts = sums_of(tokens, ids, centroids.shape[1])
    means = sums / counts.clamp(min=1).unsqueeze(-1)
    return torch.where(counts.unsqueeze(-1) > 0, means, centroids)


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


def fit(tokens, centroids, metric, iterations):
    return ops.kmeans_fit(tokens, centroids, metric, max_iters=iterations, rtol=0.0)[:3]


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
        passes=case.I + 1,  # the last one only labels
        in_parts=in_parts,
        comparable=case.dtype == torch.float32,  # rounded centroids take other paths
    )
