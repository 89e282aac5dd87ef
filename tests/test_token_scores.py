"""Which tokens scores choose, from recorded signals; and what configurations of them may say."""

import re

import pytest
import torch

from clusca_ext import (
    CATScores,
    ChangeScores,
    ClusCaConfig,
    ClusterCorrector,
    LeanStorage,
    RandomScores,
    ToCaScores,
    TokenCorrector,
)
from clusca_ext.correction.scores import Signals
from clusca_ext.random_keys import random_keys
from plain_tokens import highest, spread_over_clusters, with_bonus

SEED = torch.tensor([[3, 17]])


def signals_of(change, staleness=None, ids=None, grid=None):
    """Of one sample, from lists."""
    count = len(change)
    ids = [-1] * count if ids is None else ids
    return Signals(
        torch.tensor([change], dtype=torch.float32),
        torch.tensor([staleness or [1] * count], dtype=torch.int32),
        torch.tensor([ids], dtype=torch.int32),
        max(ids) + 1,
        grid or (count,),
    )


def ranking(scores, signals):
    return scores.of(signals, SEED).sort(dim=1, descending=True, stable=True).indices[0].tolist()


def test_change_and_staleness():
    """Recorded by hand: 0.9 + 0, 0.2 + 0.8 and so on, in units of a weight of 1 over 5 steps."""
    signals = signals_of([0.9, 0.2, 0.5, 0.5], [1, 4, 2, 3])
    assert ranking(ChangeScores(), signals) == [0, 2, 3, 1]
    assert ranking(ToCaScores(staleness_weight=0.0), signals) == [0, 2, 3, 1]
    of = ToCaScores(staleness_weight=1.0, interval=5).of(signals, SEED)
    torch.testing.assert_close(of, torch.tensor([[1.1, 1.0, 0.9, 1.1]]))
    assert ranking(ToCaScores(staleness_weight=9.0), signals) == [1, 3, 2, 0]


def test_random_scores_are_the_keys():
    signals = signals_of([0.0] * 50)
    expected = highest(random_keys(SEED, -2, 50)[0].tolist(), 50)
    assert ranking(RandomScores(), signals) == expected
    stale = ToCaScores(importance=RandomScores(), staleness_weight=0.0)
    assert ranking(stale, signals) == expected


@pytest.mark.parametrize("side, cell", [(8, 2), (8, 3), (5, 5), (4, 1), (3, 7)])
def test_the_best_of_each_cell_gets_the_bonus(side, cell):
    change = torch.rand(side * side).tolist()
    scores = ToCaScores(staleness_weight=0.0, spatial_bonus=0.5, cell=cell)
    got = scores.of(signals_of(change, grid=(side, side)), SEED)[0]
    expected = torch.tensor(with_bonus(change, side, cell, 0.5))
    torch.testing.assert_close(got, expected)
    assert (got - torch.tensor(change) > 0.4).sum() == (-(-side // cell)) ** 2


def test_cells_of_a_video_lie_in_one_frame():
    change = torch.rand(3, 4, 4)
    scores = ToCaScores(staleness_weight=0.0, spatial_bonus=1.0)
    got = scores.of(signals_of(change.flatten().tolist(), grid=(3, 4, 4)), SEED)[0]
    for frame, each in zip(change, got.view(3, 4, 4), strict=True):
        expected = torch.tensor(with_bonus(frame.flatten().tolist(), 4, 2, 1.0))
        torch.testing.assert_close(each.flatten(), expected)


@pytest.mark.parametrize("count", [1, 2, 7, 20, 39, 40])
def test_clusters_have_their_share(count):
    """Webster's method, seat by seat in exact fractions; ids of -1 are one cluster more."""
    torch.manual_seed(count)
    ids = torch.randint(-1, 5, (40,)).tolist()
    change = torch.rand(40).tolist()
    got = ranking(CATScores(staleness_weight=0.0), signals_of(change, ids=ids))[:count]
    assert sorted(got) == sorted(spread_over_clusters(change, ids, count))
    sizes = {c: ids.count(c) for c in set(ids)}
    taken = {c: sum(ids[n] == c for n in got) for c in sizes}
    assert all(abs(taken[c] - count * sizes[c] / 40) <= 1 for c in sizes)


CORRECTORS = [
    TokenCorrector(),
    TokenCorrector(ratio=0.3, scores=RandomScores(), persistent=True, every=2, source=1),
    TokenCorrector(scores=ToCaScores(importance=RandomScores(), cell=3, spatial_bonus=0.2)),
    TokenCorrector(scores=CATScores(importance=ChangeScores(), num_clusters=4), share_cfg=False),
    ClusterCorrector(every=3),
]


@pytest.mark.parametrize("corrector", CORRECTORS, ids=str)
def test_survives_a_file(corrector, tmp_path):
    config = ClusCaConfig(corrector=corrector)
    config.save(tmp_path / "config.json")
    assert ClusCaConfig.load(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TokenCorrector(ratio=0), "ratio must be in (0, 1], got 0"),
        (lambda: TokenCorrector(ratio=1.5), "ratio must be in (0, 1], got 1.5"),
        (lambda: TokenCorrector(ratio="all"), "ratio must be a number, got 'all'"),
        (lambda: TokenCorrector(ratio=float("nan")), "ratio must be a finite number, got nan"),
        (lambda: TokenCorrector(scores=ToCaScores), "scores must be an object with a method of"),
        (lambda: TokenCorrector(every=0), "every must be an integer of at least 1, got 0"),
        (lambda: TokenCorrector(persistent=1), "persistent must be True or False, got 1"),
        (lambda: TokenCorrector(source=1.0), "source must be the name or index of a block"),
        (lambda: ClusterCorrector(every=1.5), "every must be an integer of at least 1, got 1.5"),
        (lambda: ToCaScores(interval=0), "interval must be an integer of at least 1, got 0"),
        (lambda: ToCaScores(cell=0), "cell must be an integer of at least 1, got 0"),
        (lambda: ToCaScores(importance=None), "importance must be an object with a method of"),
        (
            lambda: ToCaScores(staleness_weight=float("inf")),
            "staleness_weight must be a finite number, got inf",
        ),
        (lambda: CATScores(num_clusters=0), "num_clusters must be an integer of at least 1, got 0"),
        (
            lambda: ClusCaConfig(corrector=TokenCorrector(), storage="lean"),
            "corrector must be a ClusterCorrector or NoCorrection where storage is lean",
        ),
        (
            lambda: ClusCaConfig(corrector=TokenCorrector(), storage=LeanStorage(basis="exact")),
            "corrector must be a ClusterCorrector or NoCorrection where storage is lean",
        ),
    ],
)
def test_rejects_bad_settings(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
