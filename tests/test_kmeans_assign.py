import pytest
import torch

from clusca_ext import ops, reference
from errors import assert_rejected
from inputs import by_cluster_shape, by_dtype, by_layout, laid_out
from kmeans_cases import (
    ARGUMENTS,
    REJECTED,
    assert_nearest,
    by_metric,
    exact_distances,
    make_grid,
    make_tokens,
    spoil,
)


@by_dtype
@by_cluster_shape
@by_metric
def test_matches_reference(B, N, K, D, dtype, metric, device):
    args = (*make_grid(B, N, K, D, dtype, device), metric)
    for ours, theirs in zip(ops.kmeans_assign(*args), reference.kmeans_assign(*args), strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


@by_dtype
@by_cluster_shape
@by_metric
def test_matches_float64(B, N, K, D, dtype, metric, device):
    tokens, centroids = make_tokens(B, N, K, D, dtype, device)
    cluster_ids, distances = ops.kmeans_assign(tokens, centroids, metric)
    assert_nearest(cluster_ids, tokens, centroids, metric)
    own = exact_distances(tokens, centroids, metric).gather(2, cluster_ids.long().unsqueeze(2))
    torch.testing.assert_close(distances, own.squeeze(2).float())


@by_metric
def test_ties_go_to_the_lowest_cluster(metric, device):
    tokens, centroids = make_tokens(2, 130, 7, 24, torch.float32, device)
    once = ops.kmeans_assign(tokens, centroids, metric)
    thrice = ops.kmeans_assign(tokens, centroids.repeat(1, 3, 1), metric)
    assert torch.equal(once[0], thrice[0])
    assert torch.equal(once[1], thrice[1])
    assert once[0].unique().numel() > 1


@by_metric
def test_a_token_on_its_centroid_has_distance_zero(metric, device):
    tokens, _ = make_tokens(2, 40, 1, 24, torch.float32, device)
    cluster_ids, distances = ops.kmeans_assign(tokens, tokens, metric)
    assert torch.equal(cluster_ids, torch.arange(40, device=device).int().expand(2, 40))
    assert torch.equal(distances, torch.zeros(2, 40, device=device))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("exponent", [-60, -40, 40, 56])
def test_magnitude_does_not_matter(exponent, dtype, device):
    """Powers of two scale exactly: what is small is not taken for zero, what is large is finite."""
    tokens, centroids = make_grid(2, 130, 7, 300, dtype, device)
    ids, distances = ops.kmeans_assign(tokens, centroids)
    scaled = ops.kmeans_assign(tokens * 2.0**exponent, centroids * 2.0**exponent)
    assert torch.equal(scaled[0], ids)
    assert torch.equal(scaled[1], distances * 2.0 ** (2 * exponent))


@by_dtype
def test_many_channels_and_a_common_mean_round_little(dtype, device):
    """Sums of all channels in one row would lose several bits more."""
    tokens, centroids = make_tokens(1, 200, 16, 3072, dtype, device)
    tokens, centroids = tokens + 30, centroids + 30
    cluster_ids, _ = ops.kmeans_assign(tokens, centroids)
    eps = 2**-16 if tokens.is_cuda and dtype != torch.float32 else 2**-22
    assert_nearest(cluster_ids, tokens, centroids, "l2", eps)


@by_dtype
@by_metric
def test_a_batch_equals_its_rows(dtype, metric, device):
    tokens, centroids = make_tokens(3, 77, 18, 40, dtype, device)
    cluster_ids, distances = ops.kmeans_assign(tokens, centroids, metric)
    for b in range(3):
        row = ops.kmeans_assign(tokens[b : b + 1], centroids[b : b + 1], metric)
        assert torch.equal(row[0][0], cluster_ids[b])
        assert torch.equal(row[1][0], distances[b])


@by_dtype
@by_metric
def test_tokens_that_are_not_finite_go_to_cluster_zero(dtype, metric, device):
    tokens, centroids = make_tokens(2, 77, 18, 40, dtype, device)
    clean_ids, clean_distances = ops.kmeans_assign(tokens, centroids, metric)
    bad = spoil(tokens)
    cluster_ids, distances = ops.kmeans_assign(tokens, centroids, metric)
    assert torch.equal(cluster_ids, clean_ids.masked_fill(bad, 0))
    assert torch.equal(distances, clean_distances.masked_fill(bad, float("inf")))


def test_a_distance_that_overflows_is_infinite(device):
    tokens, centroids = make_tokens(1, 5, 3, 8, torch.float32, device)
    tokens[0, 2] = 1e30  # its square is above float32's largest
    cluster_ids, distances = ops.kmeans_assign(tokens, centroids + 1)
    assert cluster_ids[0, 2] == 0
    assert distances.isinf().tolist() == [[False, False, True, False, False]]


def test_a_centroid_that_is_not_finite_has_no_tokens(device):
    tokens, centroids = make_tokens(1, 50, 3, 8, torch.float32, device)
    centroids[0, 0, 3], centroids[0, 2, 5] = float("nan"), float("inf")
    cluster_ids, distances = ops.kmeans_assign(tokens, centroids)
    assert (cluster_ids == 1).all()
    assert distances.isfinite().all()


@by_dtype
@by_metric
@by_layout
def test_layout_does_not_matter(layout, dtype, metric, device):
    tokens, centroids = make_tokens(2, 77, 18, 40, dtype, device)
    dense = ops.kmeans_assign(tokens, centroids, metric)
    views = laid_out(tokens, layout), laid_out(centroids, layout)
    for ours, theirs in zip(ops.kmeans_assign(*views, metric), dense, strict=True):
        assert torch.equal(ours, theirs)


def test_centroids_may_be_shared_by_the_batch(device):
    tokens, centroids = make_tokens(3, 20, 4, 8, torch.float32, device)
    shared = centroids[:1].expand(3, -1, -1)
    expected = ops.kmeans_assign(tokens, shared.contiguous())
    assert torch.equal(ops.kmeans_assign(tokens, shared)[0], expected[0])


@by_dtype
def test_opcheck(dtype, device):
    args = make_tokens(2, 33, 4, 24, dtype, device)
    torch.library.opcheck(torch.ops.clusca.kmeans_assign.default, (*args, "l1"))


@pytest.mark.parametrize("override, message", REJECTED)
def test_rejects(override, message):
    assert_rejected("kmeans_assign", (ARGUMENTS | override).values(), message)


def test_rejects_another_device(cuda):
    tokens, centroids = make_tokens(1, 5, 2, 8, torch.float32, cuda)
    for args, message in [
        ((tokens, centroids.cpu()), "centroids must be on cuda:0 as tokens is, got cpu"),
        ((tokens.cpu(), centroids), "centroids must be on cpu as tokens is, got cuda:0"),
    ]:
        assert_rejected("kmeans_assign", args, message)
