"""What the tests of the three k-means operators share: tokens, a float64 oracle, bad arguments."""

import contextlib

import pytest
import torch

METRICS = ["l2", "l1"]
by_metric = pytest.mark.parametrize("metric", METRICS)


def make_tokens(B, N, K, D, dtype, device):
    """Tokens around a common mean, as features are, and K of their kind to start from."""
    mean = 2 * torch.randn(D, device=device)
    tokens = (torch.randn(B, N, D, device=device) + mean).to(dtype)
    return tokens, torch.randn(B, K, D, device=device) + mean


def make_grid(B, N, K, D, dtype, device):
    """Tokens and centroids of small whole numbers: float32 sums are exact, and ties are many."""
    tokens = torch.randint(-3, 4, (B, N, D), device=device).to(dtype)
    return tokens, torch.randint(-3, 4, (B, K, D), device=device).float()


def make_blobs(B, N, K, D, dtype, device):
    """Whole-numbered tokens in K groups far apart, and a start beside the middle of each group."""
    centers = 16 * torch.randint(-4, 5, (B, K, D), device=device)
    tokens = centers[:, torch.arange(N, device=device) % K]
    tokens = tokens + torch.randint(-2, 3, (B, N, D), device=device)
    start = centers + torch.randint(-3, 4, (B, K, D), device=device)
    return tokens.to(dtype), start.float()


def exact_distances(tokens, centroids, metric):  # float64 [B, N, K]
    difference = tokens.double().unsqueeze(2) - centroids.double().unsqueeze(1)
    return difference.square().sum(-1) if metric == "l2" else difference.abs().sum(-1)


def assert_nearest(cluster_ids, tokens, centroids, metric, eps=None):
    """Every label is float64's, unless rounding can reorder the two distances.

    A label's distance exceeds the least one by no more than the rounding of a comparison, so that
    labels equal the oracle's wherever its margin is wider. For l1 the D terms of a sum each round
    to 2^-24 of it; roundings add like a random walk, for D < 512 to some 2^-20 of the distance. For
    l2 |c|^2 / 2 - x.c may be compared instead, which rounds to as much of (|x| + |c|) |c|; products
    of half types may go through tensor cores, which keep 2^-16. A CPU's matrix tiles keep all.
    """
    if eps is None:
        eps = 2**-16 if tokens.is_cuda and tokens.dtype != torch.float32 else 2**-20
    distances = exact_distances(tokens, centroids, metric)
    least = distances.amin(dim=2)
    own = distances.gather(2, cluster_ids.long().unsqueeze(2)).squeeze(2)
    scale = least
    if metric == "l2" and centroids.numel():
        largest = centroids.double().norm(dim=2).amax(dim=1, keepdim=True)
        scale = (tokens.double().norm(dim=2) + largest) * largest
    assert (own - least <= eps * scale).all()


def spoil(tokens):
    """Put NaN and infinities into four tokens of each row; returns a mask of these. [B, N] bool"""
    bad = [1, 4, 6, 64]
    tokens[:, bad[0], 0] = float("nan")
    tokens[:, bad[1], -1] = float("inf")
    tokens[:, bad[2], 2] = float("-inf")
    tokens[:, bad[3]] = float("nan")
    mask = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    mask[:, bad] = True
    return mask


@contextlib.contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


ARGUMENTS = {"tokens": torch.zeros(2, 33, 4), "centroids": torch.zeros(2, 3, 4), "metric": "l2"}
REJECTED = [
    ({"tokens": torch.zeros(33, 4)}, "tokens must be [B, N, D], got shape [33, 4]"),
    (
        {"tokens": torch.zeros(2, 33, 4).double()},
        "tokens must be float32, float16 or bfloat16, got float64",
    ),
    (
        {"tokens": torch.zeros(2, 4, 33).mT},
        "tokens must be dense in its last dimension, got stride 33",
    ),
    ({"tokens": torch.zeros(2, 33, 0)}, "D of tokens must be at least 1, got 0"),
    ({"centroids": torch.zeros(3, 4)}, "centroids must be [B, K, D], got shape [3, 4]"),
    ({"centroids": torch.zeros(2, 0, 4)}, "K of centroids must be at least 1, got 0"),
    (
        {"centroids": torch.zeros(1, 3, 4)},
        "centroids must have shape [2, 3, 4], got [1, 3, 4]",
    ),
    (
        {"centroids": torch.zeros(2, 3, 5)},
        "centroids must have shape [2, 3, 4], got [2, 3, 5]",
    ),
    (
        {"centroids": torch.zeros(2, 3, 4).half()},
        "centroids must be float32, got float16",
    ),
    (
        {"centroids": torch.zeros(2, 4, 3).mT},
        "centroids must be dense in its last dimension, got stride 3",
    ),
    ({"metric": "L2"}, 'metric must be one of "l2", "l1", got "L2"'),
]
