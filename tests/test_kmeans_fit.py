import pytest
import sklearn.cluster
import torch

from clusca_ext import ops, reference
from errors import assert_rejected
from inputs import by_cluster_shape, by_dtype, by_layout, laid_out
from kmeans_cases import (
    ARGUMENTS,
    REJECTED,
    by_metric,
    make_blobs,
    make_tokens,
    spoil,
    threads,
)

NAMES = ("cluster_ids", "distances", "centroids", "counts", "iterations")


def assert_equal(ours, theirs):
    for name, our, their in zip(NAMES, ours, theirs, strict=True):
        assert our.dtype == their.dtype, name
        assert torch.equal(our, their), name


# Groups lie apart and their sums are exact, so labels, centroids and iterations have one answer.
@by_dtype
@by_cluster_shape
@by_metric
def test_matches_reference(B, N, K, D, dtype, metric, device):
    args = (*make_blobs(B, N, K, D, dtype, device), metric, 10, 0.0)
    for ours, theirs in zip(ops.kmeans_fit(*args), reference.kmeans_fit(*args), strict=True):
        torch.testing.assert_close(ours, theirs)


@by_dtype
@by_metric
@pytest.mark.parametrize("max_iters", [0, 1, 7])
def test_labels_are_of_the_returned_centroids(max_iters, dtype, metric, device):
    tokens, start = make_tokens(2, 300, 18, 40, dtype, device)
    fit = ops.kmeans_fit(tokens, start, metric, max_iters, 0.0)
    cluster_ids, distances, centroids, counts, _ = fit
    again_ids, again_distances = ops.kmeans_assign(tokens, centroids, metric)
    assert torch.equal(cluster_ids, again_ids)
    assert torch.equal(distances, again_distances)
    assert torch.equal(counts, ops.kmeans_step(tokens, centroids, metric)[2])


@by_metric
def test_an_iteration_is_a_step(metric, device):
    tokens, start = make_tokens(2, 300, 6, 40, torch.float16, device)
    centroids = start
    for _ in range(3):
        _, sums, counts = ops.kmeans_step(tokens, centroids, metric)
        means = sums / counts.unsqueeze(-1)
        centroids = torch.where(counts.unsqueeze(-1) > 0, means, centroids)
    _, _, ours, _, iterations = ops.kmeans_fit(tokens, start, metric, 3, 0.0)
    assert iterations.tolist() == [3, 3]
    assert torch.equal(ours, centroids)


def test_zero_iterations_only_assign(device):
    tokens, start = make_tokens(2, 50, 6, 8, torch.float32, device)
    _, _, centroids, _, iterations = ops.kmeans_fit(tokens, start, max_iters=0)
    assert torch.equal(centroids, start)
    assert centroids.data_ptr() != start.data_ptr()
    assert iterations.tolist() == [0, 0]


def test_start_is_not_changed(device):
    tokens, start = make_tokens(2, 50, 6, 8, torch.float32, device)
    before = start.clone()
    ops.kmeans_fit(tokens, start)
    assert torch.equal(start, before)


def test_inertia_never_rises(device):
    tokens, start = make_tokens(2, 500, 12, 24, torch.float32, device)
    inertia = torch.stack(
        [ops.kmeans_fit(tokens, start, "l2", i, 0.0)[1].double().sum(1) for i in range(12)]
    )
    # Distances and centroids are rounded to float32: some 2^-24 of the whole.
    assert (inertia[1:] <= inertia[:-1] * (1 + 2**-22)).all()
    assert (inertia[-1] < 0.9 * inertia[0]).all()


def test_converged_rows_have_a_fixed_point(device):
    tokens, start = make_tokens(2, 300, 6, 8, torch.float32, device)
    _, _, centroids, _, iterations = ops.kmeans_fit(tokens, start, "l2", 200, 0.0)
    assert (iterations < 200).all()
    _, _, again, _, more = ops.kmeans_fit(tokens, centroids, "l2", 200, 0.0)
    assert torch.equal(again, centroids)
    assert more.tolist() == [1, 1]


@pytest.mark.parametrize("rtol", [1e-4, 3e-2, 1e-1])
def test_stops_at_the_first_small_change(rtol, device):
    tokens, start = make_tokens(2, 300, 6, 8, torch.float32, device)
    fits = [start]
    for _ in range(60):
        fits.append(ops.kmeans_fit(tokens, fits[-1], "l2", 1, 0.0)[2])
    fits = torch.stack(fits)
    change = (fits[1:] - fits[:-1]).abs().amax(dim=(2, 3))
    small = change <= rtol * fits[1:].abs().amax(dim=(2, 3))
    expected = 1 + small.int().argmax(dim=0)  # the first iteration whose change is small
    _, _, centroids, _, iterations = ops.kmeans_fit(tokens, start, "l2", 60, rtol)
    assert 1 < iterations.min() <= iterations.max() < 60
    assert iterations.tolist() == expected.tolist()
    assert torch.equal(centroids, fits[expected, torch.arange(2)])


def test_a_huge_rtol_stops_after_one_iteration(device):
    tokens, start = make_tokens(2, 300, 6, 8, torch.float32, device)
    assert ops.kmeans_fit(tokens, start, rtol=1e9)[4].tolist() == [1, 1]


@pytest.mark.parametrize("max_iter", [1, 4, 100])
def test_agrees_with_scikit_learn(max_iter, device):
    tokens, _ = make_tokens(1, 500, 8, 24, torch.float32, device)
    start = tokens[:, :8]  # no cluster becomes empty, which scikit-learn would relocate
    sklearn_fit = sklearn.cluster.KMeans(
        8, init=start[0].cpu().double(), n_init=1, algorithm="lloyd", max_iter=max_iter, tol=0
    ).fit(tokens[0].cpu().double())
    ours = ops.kmeans_fit(tokens, start, "l2", max_iter, 0.0)
    assert ours[3].min() > 0
    assert ours[0][0].tolist() == sklearn_fit.labels_.tolist()
    expected = torch.from_numpy(sklearn_fit.cluster_centers_).float()
    torch.testing.assert_close(ours[2][0].cpu(), expected)
    assert ours[1].double().sum().item() == pytest.approx(sklearn_fit.inertia_, rel=1e-6)


@by_metric
def test_empty_clusters_keep_their_centroid(metric, device):
    tokens, start = make_tokens(2, 50, 6, 8, torch.float32, device)
    start[:, 3] = 1e4
    start[:, 5] = start[:, 4]  # ties go to cluster 4, so 5 is empty in the first iteration
    _, _, once, _, _ = ops.kmeans_fit(tokens, start, metric, 1)
    assert torch.equal(once[:, [3, 5]], start[:, [3, 5]])
    assert not torch.equal(once[:, 4], start[:, 4])
    _, _, centroids, counts, _ = ops.kmeans_fit(tokens, start, metric)
    assert torch.equal(centroids[:, 3], start[:, 3])
    assert counts[:, 3].tolist() == [0, 0]
    assert counts.sum(1).tolist() == [50, 50]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_centroid_that_is_not_finite_has_no_say(value, device):
    tokens, start = make_tokens(2, 300, 6, 8, torch.float32, device)
    without = ops.kmeans_fit(tokens, start, "l2", 60, 1e-3)
    drawn_from_a_spoiled_token = torch.full((2, 1, 8), value, device=device)
    start = torch.cat([start, drawn_from_a_spoiled_token], dim=1)
    fit = ops.kmeans_fit(tokens, start, "l2", 60, 1e-3)
    cluster_ids, distances, centroids, counts, iterations = fit
    assert_equal((cluster_ids, distances, centroids[:, :6], counts[:, :6], iterations), without)
    torch.testing.assert_close(centroids[:, 6:], drawn_from_a_spoiled_token, equal_nan=True)
    assert not counts[:, 6].any()
    expected = reference.kmeans_fit(tokens, start, "l2", 60, 1e-3)
    assert torch.equal(iterations, expected[4])


@by_dtype
@by_metric
def test_tokens_that_are_not_finite_are_left_out(dtype, metric, device):
    tokens, start = make_tokens(2, 77, 5, 40, dtype, device)
    bad = spoil(tokens)
    cluster_ids, distances, centroids, counts, _ = ops.kmeans_fit(tokens, start, metric)
    assert centroids.isfinite().all()
    assert torch.equal(distances.isinf(), bad)
    assert not cluster_ids[bad].any()
    assert torch.equal(counts.sum(1), (~bad).sum(1).int())


@by_dtype
def test_a_batch_equals_its_rows(dtype, device):
    tokens, start = make_tokens(3, 300, 6, 8, dtype, device)
    tokens[1] *= 3  # rows that converge at different times
    batch = ops.kmeans_fit(tokens, start, "l2", 60, 1e-3)
    assert batch[4].unique().numel() > 1
    for b in range(3):
        row = ops.kmeans_fit(tokens[b : b + 1], start[b : b + 1], "l2", 60, 1e-3)
        assert_equal([part[0] for part in row], [part[b] for part in batch])


def test_threads_do_not_matter():
    tokens, start = make_tokens(2, 700, 5, 12, torch.float32, "cpu")
    with threads(1):
        alone = ops.kmeans_fit(tokens, start)
    with threads(3):
        assert_equal(ops.kmeans_fit(tokens, start), alone)


@by_dtype
@by_layout
def test_layout_does_not_matter(layout, dtype, device):
    tokens, start = make_tokens(2, 300, 18, 40, dtype, device)
    views = laid_out(tokens, layout), laid_out(start, layout)
    assert_equal(ops.kmeans_fit(*views), ops.kmeans_fit(tokens, start))


@by_dtype
def test_opcheck(dtype, device):
    args = make_tokens(2, 33, 4, 24, dtype, device)
    torch.library.opcheck(torch.ops.clusca.kmeans_fit.default, (*args, "l1", 3, 1e-3))


@pytest.mark.parametrize(
    "override, message",
    [
        *REJECTED,
        ({"max_iters": -1}, "max_iters must be in [0, 1000000], got -1"),
        ({"max_iters": 2**63 - 1}, f"max_iters must be in [0, 1000000], got {2**63 - 1}"),
        ({"rtol": -0.5}, "rtol must be at least 0, got -0.5"),
        ({"rtol": float("nan")}, "rtol must be at least 0, got nan"),
    ],
)
def test_rejects(override, message):
    arguments = ARGUMENTS | {"max_iters": 10, "rtol": 1e-4} | override
    assert_rejected("kmeans_fit", arguments.values(), message)
