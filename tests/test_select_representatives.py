import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

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

FAIR = 1e-3  # a fair draw has a lower p-value once in a thousand tries; ours are fixed
EXTREME = st.integers(-(2**63), 2**63 - 1)


def make_seed(sample_seed, counter, device):
    return torch.tensor([sample_seed, counter], device=device)


@by_cluster_shape
@pytest.mark.parametrize("layer", [0, 37])
def test_matches_reference(B, N, K, D, layer, device):
    _, cluster_ids = make_clusters(B, N, K, device)
    args = (cluster_ids, K, make_seed(5, 11, device), layer)
    ours = ops.select_representatives(*args)
    assert ours.dtype == torch.int32
    assert torch.equal(ours, reference.select_representatives(*args))


def test_more_clusters_than_a_block_holds(device):
    cluster_ids = torch.randint(4200, (1, 4500), device=device).int()
    args = (cluster_ids, 4200, make_seed(1, 2, device))
    assert torch.equal(ops.select_representatives(*args), reference.select_representatives(*args))


def test_representatives_are_members(device):
    cluster_ids = torch.randint(4, (3, 50), device=device).int()
    cluster_ids[:, :4] = torch.arange(4, device=device)
    representatives = ops.select_representatives(cluster_ids, 6, make_seed(0, 0, device))
    chosen = cluster_ids.gather(1, representatives[:, :4].long())
    assert torch.equal(chosen, torch.arange(4, device=device).int().expand(3, 4))
    assert (representatives[:, 4:] == -1).all()


@pytest.mark.parametrize("members", [2, 16, 61])
@pytest.mark.parametrize("varied", ["sample seed", "counter", "layer"])
def test_draws_are_uniform(varied, members, device):
    draws = 3000
    token = torch.arange(4 * members, device=device)
    cluster_ids = (token % 4).int()  # the members of cluster 1 are every fourth token
    number = torch.arange(draws, device=device)
    fixed = torch.full_like(number, 9)
    if varied == "layer":
        chosen = torch.stack(
            [
                ops.select_representatives(cluster_ids[None], 4, make_seed(9, 9, device), layer)[0]
                for layer in range(draws)
            ]
        )
    else:
        columns = [number, fixed] if varied == "sample seed" else [fixed, number]
        rows = cluster_ids.expand(draws, -1)
        chosen = ops.select_representatives(rows, 4, torch.stack(columns, dim=1))
    assert (chosen[:, 1] % 4 == 1).all()
    counts = torch.bincount(chosen[:, 1] // 4, minlength=members)
    assert scipy.stats.chisquare(counts.cpu()).pvalue > FAIR


def test_draws_of_two_clusters_are_independent(device):
    cluster_ids = (torch.arange(8, device=device) // 4).int().expand(4000, -1)
    seed = torch.stack([torch.zeros(4000), torch.arange(4000)], dim=1).long().to(device)
    first, second = (ops.select_representatives(cluster_ids, 2, seed) % 4).unbind(1)
    counts = torch.bincount(4 * first + second, minlength=16)
    assert scipy.stats.chisquare(counts.cpu()).pvalue > FAIR


def test_seed_counter_and_layer_change_the_draw(device):
    cluster_ids = torch.zeros(1, 100_000, device=device).int()
    draws = [
        ops.select_representatives(cluster_ids, 1, make_seed(sample_seed, counter, device), layer)
        for sample_seed, counter, layer in [
            (0, 0, 0),
            (1, 0, 0),
            (0, 1, 0),
            (0, 0, 1),
            (-1, 0, 0),
            (2**40, 0, 0),
        ]
    ]
    assert torch.cat(draws).unique().numel() == len(draws)


def test_the_same_numbers_give_the_same_draw(device):
    _, cluster_ids = make_clusters(2, 77, 5, device)
    first = ops.select_representatives(cluster_ids, 5, make_seed(3, 4, device), 2)
    torch.manual_seed(123)
    torch.rand(7, device=device)
    assert torch.equal(
        first, ops.select_representatives(cluster_ids, 5, make_seed(3, 4, device), 2)
    )


def test_place_in_the_batch_does_not_matter(device):
    _, cluster_ids = make_clusters(1, 77, 5, device)
    alone = ops.select_representatives(cluster_ids, 5, make_seed(3, 4, device))
    batch = ops.select_representatives(cluster_ids.expand(3, -1), 5, make_seed(3, 4, device))
    assert torch.equal(batch, alone.expand(3, -1))


def test_rows_may_have_seeds_of_their_own(device):
    _, cluster_ids = make_clusters(3, 77, 5, device)
    seeds = torch.tensor([[3, 4], [3, 5], [8, 4]], device=device)
    batch = ops.select_representatives(cluster_ids, 5, seeds)
    for b in range(3):
        row = ops.select_representatives(cluster_ids[b : b + 1], 5, seeds[b])
        assert torch.equal(row[0], batch[b])


def test_labels_out_of_range_belong_to_no_cluster(device):
    _, cluster_ids = make_untrusted_clusters(3, 200, 5, device)
    seed = make_seed(3, 4, device)
    representatives = ops.select_representatives(cluster_ids, 5, seed)
    # Six clusters, so that -1, 5 and far labels can be put into the last.
    valid = (cluster_ids >= 0) & (cluster_ids < 5)
    sorted_out = ops.select_representatives(cluster_ids.where(valid, 5), 6, seed)
    assert torch.equal(representatives, sorted_out[:, :5])


@pytest.mark.parametrize("layout", ["chunk", "unaligned", "every-other"])
def test_layout_does_not_matter(layout, device):
    _, cluster_ids = make_clusters(3, 77, 5, device)
    seeds = torch.tensor([[3, 4], [3, 5], [8, 4]], device=device)
    dense = ops.select_representatives(cluster_ids, 5, seeds)
    views = laid_out(cluster_ids, layout), 5, laid_out(seeds, layout)
    assert torch.equal(ops.select_representatives(*views), dense)
    shared = make_seed(3, 4, device).expand(3, 2)
    expected = ops.select_representatives(cluster_ids, 5, shared[0])
    assert torch.equal(ops.select_representatives(cluster_ids, 5, shared), expected)


@EXAMPLES
@given(SIZES, SEEDS, EXTREME, EXTREME, EXTREME)
def test_any_input_matches_reference(device, sizes, values, sample_seed, counter, layer):
    B, N, K, _ = sizes
    torch.manual_seed(values)
    _, cluster_ids = make_untrusted_clusters(B, N, K, device)
    args = (cluster_ids, K, make_seed(sample_seed, counter, device), layer)
    assert torch.equal(ops.select_representatives(*args), reference.select_representatives(*args))


@pytest.mark.parametrize("shape", [(2,), (2, 2)], ids=str)
def test_opcheck(shape, device):
    _, cluster_ids = make_clusters(2, 33, 4, device)
    args = (cluster_ids, 4, torch.ones(shape, dtype=torch.int64, device=device), 3)
    torch.library.opcheck(torch.ops.clusca.select_representatives.default, args)


LONG = torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    "override, message",
    [
        ({"cluster_ids": torch.zeros(9).int()}, "cluster_ids must be [B, N], got shape [9]"),
        ({"cluster_ids": torch.zeros(3, 9)}, "cluster_ids must be int32, got float32"),
        (
            {"cluster_ids": torch.zeros(9, 3).int().T},
            "cluster_ids must be dense in its last dimension, got stride 3",
        ),
        ({"num_clusters": 0}, "num_clusters must be at least 1, got 0"),
        ({"seed": LONG.int()}, "seed must be int64, got int32"),
        ({"seed": LONG[:1]}, "seed must have shape [2], got [1]"),
        ({"seed": LONG.expand(2, 2)}, "seed must have shape [3, 2], got [2, 2]"),
        ({"seed": LONG[0]}, "seed must have shape [2], got []"),
        (
            {"seed": torch.zeros(2, 3).long().T},
            "seed must be dense in its last dimension, got stride 3",
        ),
    ],
)
def test_rejects(override, message):
    arguments = {"cluster_ids": torch.zeros(3, 9).int(), "num_clusters": 4, "seed": LONG}
    assert_rejected("select_representatives", (arguments | override).values(), message)
