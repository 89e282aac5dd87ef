"""The kernels of k-means that a caller can name: each keeps what the operators promise."""

import pytest
import torch

from clusca_ext import ops, reference
from errors import assert_rejected
from inputs import by_cluster_shape, by_layout, laid_out
from kmeans_cases import (
    ARGUMENTS,
    assert_nearest,
    exact_distances,
    make_blobs,
    make_grid,
    make_tokens,
    spoil,
)

by_half = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)


@pytest.fixture(params=["vector", "matrix", "cluster"])
def kernel(request):
    return request.param


@pytest.fixture
def require(device):
    """Skips what this machine has no kernel for, and nothing else."""

    def require_kernel(kernel, dtype, K=1, D=8):
        if kernel == "cluster" and (K > 32 or D % 8):
            pytest.skip("it takes up to 32 clusters, and whole packets")
        if kernel == "cluster" and (device == "cpu" or torch.cuda.get_device_capability() < (9, 0)):
            pytest.skip("clusters of blocks are there from sm_90 on")
        if kernel == "vector" or device == "cuda":
            return
        if dtype != torch.bfloat16:
            pytest.skip("a CPU's matrix tiles take bfloat16")
        try:
            ops.kmeans_assign(torch.zeros(1, 1, 1, dtype=dtype), torch.zeros(1, 1, 1), "l2", kernel)
        except ValueError as error:
            if "needs a CPU with matrix tiles" not in str(error):
                raise
            pytest.skip("no matrix tiles")

    return require_kernel


@by_half
@by_cluster_shape
def test_assigns_as_float64(B, N, K, D, dtype, kernel, require, device):
    require(kernel, dtype, K, D)
    tokens, centroids = make_tokens(B, N, K, D, dtype, device)
    ids, distances = ops.kmeans_assign(tokens, centroids, "l2", kernel)
    assert_nearest(ids, tokens, centroids, "l2")
    own = exact_distances(tokens, centroids, "l2").gather(2, ids.long().unsqueeze(2))
    torch.testing.assert_close(distances, own.squeeze(2).float())


@by_half
@pytest.mark.parametrize("N, K, D", [(130_000, 3, 8), (130, 70, 264), (40, 1024, 24)])
def test_many_tokens_clusters_and_channels(N, K, D, dtype, kernel, require, device):
    require(kernel, dtype, K, D)
    tokens, centroids = make_grid(1, N, K, D, dtype, device)
    ids, distances = ops.kmeans_assign(tokens, centroids, "l2", kernel)
    least = exact_distances(tokens, centroids, "l2").min(2)
    assert torch.equal(ids.long(), least.indices)
    assert torch.equal(distances.double(), least.values)


@by_half
def test_fits_as_the_reference(dtype, kernel, require, device):
    require(kernel, dtype)
    tokens, start = make_blobs(2, 400, 6, 40, dtype, device)
    ours = ops.kmeans_fit(tokens, start, "l2", 10, 1e-4, kernel)
    theirs = reference.kmeans_fit(tokens, start, "l2", 10, 1e-4)
    ids, distances, centroids, counts, iterations = zip(ours, theirs, strict=True)
    assert torch.equal(*ids)
    assert torch.equal(*counts)
    assert torch.equal(*iterations)
    torch.testing.assert_close(*centroids)
    torch.testing.assert_close(*distances)


@by_half
def test_steps_leave_out_what_is_not_finite(dtype, kernel, require, device):
    require(kernel, dtype)
    tokens, centroids = make_tokens(2, 77, 18, 40, dtype, device)
    bad = spoil(tokens)
    ids, sums, counts = ops.kmeans_step(tokens, centroids, "l2", kernel)
    assert sums.isfinite().all()
    assert (ids[bad] == 0).all()
    assert torch.equal(counts.sum(1), (~bad).sum(1))


@by_half
def test_ties_and_rows(dtype, kernel, require, device):
    require(kernel, dtype)
    tokens, centroids = make_tokens(3, 77, 10, 40, dtype, device)
    ids, distances = ops.kmeans_assign(tokens, centroids, "l2", kernel)
    thrice = ops.kmeans_assign(tokens, centroids.repeat(1, 3, 1), "l2", kernel)
    assert torch.equal(thrice[0], ids)
    row = ops.kmeans_assign(tokens[1:2], centroids[1:2], "l2", kernel)
    assert torch.equal(row[0][0], ids[1])
    assert torch.equal(row[1][0], distances[1])


@by_half
@by_layout
def test_layout_does_not_matter(layout, dtype, kernel, require, device):
    require(kernel, dtype)
    if kernel == "cluster" and layout == "unaligned":
        pytest.skip("it takes whole packets")
    tokens, centroids = make_tokens(2, 77, 18, 40, dtype, device)
    expected = ops.kmeans_assign(tokens, centroids, "l2", kernel)
    got = ops.kmeans_assign(laid_out(tokens, layout), laid_out(centroids, layout), "l2", kernel)
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1], expected[1])


@pytest.mark.parametrize("exponent", [-60, -40, 40, 56])
def test_magnitude_does_not_matter(exponent, kernel, require, device):
    require(kernel, torch.bfloat16)
    tokens, centroids = make_grid(2, 130, 7, 304, torch.bfloat16, device)
    ids, distances = ops.kmeans_assign(tokens, centroids, "l2", kernel)
    scaled = ops.kmeans_assign(tokens * 2.0**exponent, centroids * 2.0**exponent, "l2", kernel)
    assert torch.equal(scaled[0], ids)
    assert torch.equal(scaled[1], distances * 2.0 ** (2 * exponent))


@by_half
def test_one_centroid_far_away_spoils_no_other(dtype, kernel, require, device):
    require(kernel, dtype)
    tokens, centroids = make_grid(1, 130, 7, 40, dtype, device)
    expected = ops.kmeans_assign(tokens, centroids[:, 1:], "l2", kernel)[0] + 1
    for value in (1e6, 1e18, float("inf"), float("nan")):
        centroids[:, 0] = value
        assert torch.equal(ops.kmeans_assign(tokens, centroids, "l2", kernel)[0], expected)


@pytest.mark.parametrize("K, on_cuda", [(16, "matrix"), (18, "vector")])
def test_auto_is_the_fastest_one_measured(K, on_cuda, device, require):
    tokens, centroids = make_tokens(2, 77, K, 40, torch.bfloat16, device)
    auto = ops.kmeans_assign(tokens, centroids, "l2", "auto")
    fastest = on_cuda if device == "cuda" else "matrix"
    require(fastest, torch.bfloat16)
    named = ops.kmeans_assign(tokens, centroids, "l2", fastest)
    assert torch.equal(auto[0], named[0])
    assert torch.equal(auto[1], named[1])


@pytest.mark.parametrize(
    "override, message",
    [
        (
            {"kernel": "fast"},
            'kernel must be one of "auto", "vector", "matrix", "cluster", got "fast"',
        ),
        (
            {"kernel": "matrix", "metric": "l1"},
            'metric must be "l2" for kernel "matrix", got "l1"',
        ),
        (
            {"kernel": "matrix"},
            'tokens must be bfloat16 for kernel "matrix", got float32',
        ),
        (
            {"kernel": "matrix", "tokens": torch.zeros(2, 33, 4).half()},
            'tokens must be bfloat16 for kernel "matrix", got float16',
        ),
        (
            {"kernel": "cluster", "tokens": torch.zeros(2, 33, 4).bfloat16()},
            'kernel "cluster" needs tokens on CUDA, got cpu',
        ),
        ({"kernel": "cluster"}, 'kernel "cluster" needs tokens on CUDA, got cpu'),
    ],
)
def test_rejects(override, message):
    assert_rejected("kmeans_assign", (ARGUMENTS | override).values(), message)


def test_rejects_float32_on_cuda(cuda):
    args = (torch.zeros(1, 5, 4, device=cuda), torch.zeros(1, 2, 4, device=cuda), "l2", "matrix")
    message = 'tokens must be float16 or bfloat16 for kernel "matrix", got float32'
    assert_rejected("kmeans_assign", args, message)
