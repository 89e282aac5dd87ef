import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from errors import assert_rejected
from inputs import (
    DTYPES,
    EXAMPLES,
    LAYOUTS,
    SEEDS,
    SIZES,
    by_cluster_shape,
    by_dtype,
    by_layout,
    laid_out,
)
from kmeans_cases import (
    ARGUMENTS,
    METRICS,
    REJECTED,
    assert_nearest,
    by_metric,
    make_grid,
    make_tokens,
    spoil,
    threads,
)


def assert_equal(ours, theirs):
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == their.dtype
        assert torch.equal(our, their)


@by_dtype
@by_cluster_shape
@by_metric
def test_matches_reference(B, N, K, D, dtype, metric, device):
    args = (*make_grid(B, N, K, D, dtype, device), metric)
    assert_equal(ops.kmeans_step(*args), reference.kmeans_step(*args))


@by_dtype
@by_cluster_shape
@by_metric
def test_matches_float64(B, N, K, D, dtype, metric, device):
    tokens, centroids = make_tokens(B, N, K, D, dtype, device)
    cluster_ids, sums, counts = ops.kmeans_step(tokens, centroids, metric)
    assert_nearest(cluster_ids, tokens, centroids, metric)
    members = torch.nn.functional.one_hot(cluster_ids.long(), K).double().mT  # [B, K, N]
    assert torch.equal(counts, members.sum(2).int())
    error = (sums - members @ tokens.double()).abs()
    assert (error <= 1e-6 * (members @ tokens.double().abs())).all()


@by_metric
def test_labels_are_those_of_kmeans_assign(metric, device):
    args = (*make_tokens(2, 700, 19, 40, torch.bfloat16, device), metric)
    assert torch.equal(ops.kmeans_step(*args)[0], ops.kmeans_assign(*args)[0])


@by_dtype
@by_metric
def test_a_batch_equals_its_rows(dtype, metric, device):
    tokens, centroids = make_tokens(3, 300, 18, 40, dtype, device)
    batch = ops.kmeans_step(tokens, centroids, metric)
    for b in range(3):
        row = ops.kmeans_step(tokens[b : b + 1], centroids[b : b + 1], metric)
        assert_equal([part[0] for part in row], [part[b] for part in batch])


@by_dtype
@by_metric
@pytest.mark.parametrize("B", [50, 100])
def test_a_row_of_many_equals_itself_alone(B, dtype, metric, device):
    """On CUDA blocks have 8, 16 or 32 tokens, by how many there are."""
    tokens, centroids = make_tokens(B, 33, 18, 300, dtype, device)
    batch = ops.kmeans_step(tokens, centroids, metric)
    alone = ops.kmeans_step(tokens[7:8], centroids[7:8], metric)
    assert_equal([part[0] for part in alone], [part[7] for part in batch])


# 16,641 tokens are more than 64 chunks of 256: chunks grow, and the last ones are short or empty.
@pytest.mark.parametrize("N", [257, 16_641])
def test_threads_do_not_matter(N):
    tokens, centroids = make_tokens(2, N, 5, 12, torch.float32, "cpu")
    with threads(1):
        alone = ops.kmeans_step(tokens, centroids)
    with threads(3):
        assert_equal(ops.kmeans_step(tokens, centroids), alone)


def test_every_token_is_counted_once(device):
    tokens, centroids = make_grid(1, 16_641, 5, 12, torch.float32, device)
    _, sums, counts = ops.kmeans_step(tokens, centroids)
    assert counts.sum() == 16_641
    assert torch.equal(sums.sum(1), tokens.sum(1))


@by_dtype
@by_metric
def test_tokens_that_are_not_finite_are_left_out(dtype, metric, device):
    tokens, centroids = make_grid(2, 77, 5, 40, dtype, device)
    clean_ids, _, _ = ops.kmeans_step(tokens, centroids, metric)
    bad = spoil(tokens)
    cluster_ids, sums, counts = ops.kmeans_step(tokens, centroids, metric)
    assert torch.equal(cluster_ids, clean_ids.masked_fill(bad, 0))
    assert_equal((cluster_ids, sums, counts), reference.kmeans_step(tokens, centroids, metric))
    assert counts.sum() == (~bad).sum()
    assert sums.isfinite().all()


def test_a_cluster_of_spoiled_tokens_is_empty(device):
    tokens = torch.full((1, 20, 8), float("nan"), device=device)
    _, sums, counts = ops.kmeans_step(tokens, torch.zeros(1, 3, 8, device=device))
    assert not counts.any()
    assert not sums.any()


@by_dtype
@by_metric
@by_layout
def test_layout_does_not_matter(layout, dtype, metric, device):
    tokens, centroids = make_tokens(2, 300, 18, 40, dtype, device)
    views = laid_out(tokens, layout), laid_out(centroids, layout)
    assert_equal(ops.kmeans_step(*views, metric), ops.kmeans_step(tokens, centroids, metric))


@EXAMPLES
@given(SIZES, SEEDS, *map(st.sampled_from, (DTYPES, METRICS, LAYOUTS)))
def test_any_input_matches_reference(device, sizes, seed, dtype, metric, layout):
    torch.manual_seed(seed)
    tokens, centroids = make_grid(*sizes, dtype, device)
    ours = ops.kmeans_step(laid_out(tokens, layout), laid_out(centroids, layout), metric)
    assert_equal(ours, reference.kmeans_step(tokens, centroids, metric))


@by_dtype
def test_opcheck(dtype, device):
    args = make_tokens(2, 33, 4, 24, dtype, device)
    torch.library.opcheck(torch.ops.clusca.kmeans_step.default, (*args, "l1"))


@pytest.mark.parametrize("override, message", REJECTED)
def test_rejects(override, message):
    assert_rejected("kmeans_step", (ARGUMENTS | override).values(), message)
