import pytest
import torch
from hypothesis import given

from clusca_ext import ops, reference
from errors import assert_rejected
from inputs import (
    EXAMPLES,
    SEEDS,
    SIZES,
    by_cluster_shape,
    laid_out,
    make_clusters,
    make_untrusted_clusters,
)

INF, NAN = float("inf"), float("nan")


def select(labels, distances, num_clusters, device):
    cluster_ids = torch.tensor([labels], dtype=torch.int32, device=device)
    distances = torch.tensor([distances], device=device)
    return ops.select_nearest(cluster_ids, distances, num_clusters)[0].tolist()


# Few different distances: ties are many.
def make_distances(B, N, device):
    return torch.randint(0, 6, (B, N), device=device) / 4


@by_cluster_shape
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
def test_matches_reference(B, N, K, D, ties, device):
    _, cluster_ids = make_clusters(B, N, K, device)
    distances = make_distances(B, N, device) if ties else torch.rand(B, N, device=device)
    ours = ops.select_nearest(cluster_ids, distances, K)
    assert ours.dtype == torch.int32
    assert torch.equal(ours, reference.select_nearest(cluster_ids, distances, K))


def test_more_clusters_than_a_block_holds(device):
    cluster_ids = torch.randint(4200, (1, 4500), device=device).int()
    args = (cluster_ids, torch.rand(1, 4500, device=device), 4200)
    assert torch.equal(ops.select_nearest(*args), reference.select_nearest(*args))


def test_the_closest_member_is_chosen(device):
    assert select([0, 1, 0, 1, 0], [3.0, 1.0, 2.0, 5.0, 2.5], 3, device) == [2, 1, -1]


def test_ties_go_to_the_lowest_token(device):
    assert select([1, 0, 0, 1], [2.0, 2.0, 2.0, 2.0], 2, device) == [1, 0]
    assert select([0, 0], [0.0, -0.0], 1, device) == [0]
    assert select([0, 0], [-0.0, 0.0], 1, device) == [0]


def test_distances_order_over_their_whole_range(device):
    falling = [3e38, 1.0, 1e-30, 1e-45, 0.0, -1e-45, -1.0, -3e38]
    for end in range(1, len(falling) + 1):
        assert select([0] * end, falling[:end], 1, device) == [end - 1]


def test_tokens_without_a_finite_distance_are_not_chosen(device):
    assert select([0, 0, 0, 1], [INF, NAN, 9.0, NAN], 2, device) == [2, -1]
    assert select([0, 0], [-INF, 4.0], 1, device) == [1]


def test_labels_out_of_range_belong_to_no_cluster(device):
    labels = [-1, 2, 2**31 - 1, -(2**31), 1]
    assert select(labels, [0.0] * 5, 2, device) == [-1, 4]


def test_a_batch_equals_its_rows(device):
    _, cluster_ids = make_clusters(3, 77, 5, device)
    distances = make_distances(3, 77, device)
    batch = ops.select_nearest(cluster_ids, distances, 5)
    for b in range(3):
        row = ops.select_nearest(cluster_ids[b : b + 1], distances[b : b + 1], 5)
        assert torch.equal(row[0], batch[b])


@pytest.mark.parametrize("layout", ["chunk", "unaligned", "every-other"])
def test_layout_does_not_matter(layout, device):
    _, cluster_ids = make_clusters(3, 77, 5, device)
    distances = make_distances(3, 77, device)
    views = laid_out(cluster_ids, layout), laid_out(distances, layout), 5
    assert torch.equal(ops.select_nearest(*views), ops.select_nearest(cluster_ids, distances, 5))


@EXAMPLES
@given(SIZES, SEEDS)
def test_any_input_matches_reference(device, sizes, values):
    B, N, K, _ = sizes
    torch.manual_seed(values)
    _, cluster_ids = make_untrusted_clusters(B, N, K, device)
    distances = make_distances(B, N, device)
    distances[torch.rand(B, N, device=device) < 0.2] = INF
    args = (cluster_ids, distances, K)
    assert torch.equal(ops.select_nearest(*args), reference.select_nearest(*args))


def test_opcheck(device):
    _, cluster_ids = make_clusters(2, 33, 4, device)
    args = (cluster_ids, make_distances(2, 33, device), 4)
    torch.library.opcheck(torch.ops.clusca.select_nearest.default, args)


@pytest.mark.parametrize(
    "override, message",
    [
        ({"cluster_ids": torch.zeros(9).int()}, "cluster_ids must be [B, N], got shape [9]"),
        ({"cluster_ids": torch.zeros(3, 9).long()}, "cluster_ids must be int32, got int64"),
        (
            {"cluster_ids": torch.zeros(9, 3).int().T},
            "cluster_ids must be dense in its last dimension, got stride 3",
        ),
        ({"distances": torch.zeros(3, 8)}, "distances must have shape [3, 9], got [3, 8]"),
        ({"distances": torch.zeros(3, 9).half()}, "distances must be float32, got float16"),
        (
            {"distances": torch.zeros(9, 3).T},
            "distances must be dense in its last dimension, got stride 3",
        ),
        ({"num_clusters": 0}, "num_clusters must be at least 1, got 0"),
        ({"num_clusters": -2}, "num_clusters must be at least 1, got -2"),
    ],
)
def test_rejects(override, message):
    arguments = {"cluster_ids": torch.zeros(3, 9).int(), "distances": torch.zeros(3, 9)}
    arguments = arguments | {"num_clusters": 4} | override
    assert_rejected("select_nearest", arguments.values(), message)
