"""Schedules that adapt decide alike on all ranks of a group, and agree in one exchange a step."""

import pytest
import torch

from clusca_ext import (
    AdaCacheSchedule,
    ClusCaConfig,
    FirstBlockSchedule,
    SpeCaSchedule,
    TeaCacheSchedule,
    cache,
)
from clusca_ext.enable import cache_of
from rank_processes import WORLD, told_by_ranks
from small_dit import make_dit, options, sample

SCHEDULES = {  # such that ranks that do not agree decide otherwise
    "teacache": TeaCacheSchedule(threshold=0.04),
    "first block": FirstBlockSchedule(threshold=0.2),
    "speca": SpeCaSchedule(threshold=0.01, decay=1, floor=0.001, min_skips=1, warmup=1),
    "adacache": AdaCacheSchedule(codebook=((0.01, 5), (0.02, 3), (0.2, 2))),
}
SAMPLES = 2


def rank_main(rank, queue):
    """Every rank draws samples of its own."""
    exchanged, all_reduce = [], torch.distributed.all_reduce

    def counting(tensor, *args, **kwargs):
        exchanged.append(len(tensor))
        return all_reduce(tensor, *args, **kwargs)

    torch.distributed.all_reduce = counting
    model = make_dit()
    for name, schedule in SCHEDULES.items():
        config = ClusCaConfig(schedule=schedule, storage="lean")
        for group in (torch.distributed.group.WORLD, None):
            ends = [0]
            exchanged.clear()
            with cache(model, config, **options(), process_group=group):
                end = lambda step, ends=ends: ends.append(len(exchanged))  # noqa: E731
                sample(model, samples=SAMPLES, seed=rank, label=3 * rank, on_step=end)
                kinds = [each.kinds for each in cache_of(model).by_sample]
            most = max(b - a for a, b in zip(ends[:-1], ends[1:], strict=True))
            queue.put((rank, name, group is not None, kinds, most, max(exchanged, default=0)))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What two ranks did, by schedule, whether they agree, and rank."""
    count = 2 * WORLD * len(SCHEDULES)
    told = told_by_ranks(rank_main, tmp_path_factory.mktemp("ranks"), count)
    return {(name, together, rank): did for rank, name, together, *did in told}


@pytest.mark.parametrize("name", SCHEDULES)
def test_ranks_of_a_group_decide_alike(found, name):
    """And each for itself without one."""
    (first, *_), (second, *_) = found[name, True, 0], found[name, True, 1]
    assert first == second and len(first) == SAMPLES
    assert all("cached" in kinds and kinds.count("full") > 1 for kinds in first)
    assert found[name, False, 0][0] != found[name, False, 1][0]


@pytest.mark.parametrize("name", SCHEDULES)
def test_ranks_exchange_all_samples_at_once(found, name):
    for rank in range(WORLD):
        _, most, numbers = found[name, True, rank]
        assert most == 1 and numbers == SAMPLES
        assert found[name, False, rank][1:] == [0, 0]
