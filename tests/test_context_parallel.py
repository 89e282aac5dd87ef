"""diffusers' context parallelism: ranks that share a model's tokens cache what is theirs."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
import torch

from clusca_ext import (
    AdaCacheSchedule,
    ClusCaConfig,
    ClusterCorrector,
    ExplicitSchedule,
    FirstBlockSchedule,
    FrequencyForecaster,
    LeanStorage,
    NoCorrection,
    SpeCaSchedule,
    TeaCacheSchedule,
    cache,
    method,
    summary,
)
from clusca_ext.adapters import ranks
from clusca_ext.enable import cache_of
from clusca_ext.storage.low_band import LowBand
from families_image import FLUX
from families_video import wan
from plain_forecasts import projector
from rank_processes import WORLD, told_by_ranks
from test_families import TIMES, run

FULL = ExplicitSchedule(steps=(0, 2, 5))
TAYLOR = ClusCaConfig(schedule=FULL, corrector=NoCorrection())
CLUSTERS = replace(TAYLOR, corrector=ClusterCorrector(num_clusters=4))
ALIKE = {  # every token for itself: as where one rank has them all
    "per block": TAYLOR,
    "lean": replace(TAYLOR, storage="lean"),
    "gated": replace(TAYLOR, storage=LeanStorage(basis="gated")),
}
OWN = {  # each rank's own tokens
    "clusters": CLUSTERS,
    "lean clusters": replace(CLUSTERS, storage="lean"),
    "token scores": replace(method("toca"), schedule=FULL),
}
FREQUENCIES = {
    "frequencies": replace(TAYLOR, forecaster=FrequencyForecaster(low_band=0.4)),
    "frequencies, lean": replace(
        TAYLOR,
        forecaster=FrequencyForecaster(low_band=0.4),
        storage=LeanStorage(basis="gated"),
    ),
}
SCHEDULES = {
    "teacache": TeaCacheSchedule(threshold=2),
    "first block": FirstBlockSchedule(threshold=0.37),
    "speca": SpeCaSchedule(threshold=0.5, decay=1, floor=0.1, min_skips=1, warmup=1),
    "adacache": AdaCacheSchedule(codebook=((0.01, 5), (0.1, 3), (0.5, 2))),
}
DECIDING = {name: replace(TAYLOR, schedule=each) for name, each in SCHEDULES.items()}
WAN = wan()
CASES = {
    "FLUX": (FLUX, ALIKE | OWN),
    "Wan": (WAN, ALIKE | OWN | FREQUENCIES | DECIDING),
    "Wan per token": (wan(per_token=True), ALIKE),
    "Wan, four frames": (
        replace(WAN, noise=(2, 4, 4, 8, 8), tokens=4 * 16, name="four frames"),
        FREQUENCIES,
    ),
}
PARTS = {"Wan": (24,), "Wan, four frames": (2, 4, 4)}  # of a rank: three frames are cut


def drawn(family, model, config, **options):
    """Outputs, kinds of steps of each sample, and what the cache says."""
    with cache(model, config, timesteps=TIMES, **options):
        outputs = torch.stack(run(family, model))
        found = cache_of(model)
        kinds = [each.kinds for each in found.by_sample] or [found.leader.kinds]
        return outputs, kinds, summary(model)


@contextmanager
def in_parts(grid):
    """Low frequencies of every rank's tokens by themselves."""
    with pytest.MonkeyPatch.context() as patch:
        P = projector(grid, 0.4)

        def low(band, tokens):
            parts = tokens.split(len(P), dim=1)
            assert len(parts) == WORLD
            return torch.cat([(P @ part.double()).float() for part in parts], dim=1)

        patch.setattr(LowBand, "low", low)
        yield


def rank_main(rank, queue):
    torch.accelerator.device_count = lambda: 1  # diffusers asks for an accelerator's
    from diffusers import ContextParallelConfig

    seen, all_reduce = [], torch.distributed.all_reduce

    def watching(tensor, *args, **kwargs):
        seen.append(tensor.tolist())
        return all_reduce(tensor, *args, **kwargs)

    torch.distributed.all_reduce = watching
    itself = [torch.distributed.new_group([each]) for each in range(WORLD)][rank]
    for name, (family, configs) in CASES.items():
        alone, shared = family.make(), family.make()
        shared.enable_parallelism(config=ContextParallelConfig(ulysses_degree=WORLD))
        for what, config in configs.items():
            seen.clear()
            got, kinds, said = drawn(family, shared, config)
            with in_parts(PARTS[name]) if what in FREQUENCIES else nullcontext():
                known = what in ALIKE or what in FREQUENCIES
                expected, *_ = drawn(family, alone, config if known else TAYLOR)
            off = ((got - expected).norm() / expected.norm()).item()
            told = said.tokens, said.representatives, said.cached_step
            queue.put(((name, what, rank), (off, kinds, told, list(seen))))
        for what, config in DECIDING.items() if family is WAN else ():
            _, kinds, _ = drawn(family, shared, config, process_group=itself)
            queue.put((("named", what, rank), kinds))
    late = WAN.make()
    with cache(late, TAYLOR, timesteps=TIMES):
        late.enable_parallelism(config=ContextParallelConfig(ulysses_degree=WORLD))
        drawn_late = torch.stack(run(WAN, late))
    expected, *_ = drawn(WAN, WAN.make(), TAYLOR)
    queue.put((("late", rank), ((drawn_late - expected).norm() / expected.norm()).item()))
    parts = [ranks.tokens_of(each, 7) for each in (alone, shared)]
    sides = [ranks.grid_of(shared, grid) for grid in ((4, 6), (3, 6), ())]
    queue.put((("parts", rank), (parts, sides)))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What two ranks drew and decided."""
    count = WORLD * (2 + len(DECIDING) + sum(len(configs) for _, configs in CASES.values()))
    return dict(told_by_ranks(rank_main, tmp_path_factory.mktemp("ranks"), count))


def cases(of):
    return [(name, what) for name, (_, configs) in CASES.items() for what in configs if what in of]


@pytest.mark.parametrize("name, what", cases(ALIKE))
def test_what_is_forecast_token_by_token_is_as_on_one_rank(found, name, what):
    for rank in range(WORLD):
        off, kinds, (tokens, *_, said), _ = found[name, what, rank]
        assert off < 1e-6 and [kind[0] for kind in kinds[0]] == list("fcfccfcc")
        assert tokens == CASES[name][0].tokens / WORLD and said == "eager: ranks share its tokens"


def test_a_model_that_is_cached_may_be_shared_later(found):
    assert all(found["late", rank] < 1e-6 for rank in range(WORLD))


@pytest.mark.parametrize("name, what", cases(OWN))
def test_a_rank_corrects_its_own_tokens(found, name, what):
    """As far from the forecast alone as corrections are, and the same picture on all ranks."""
    first, second = (found[name, what, rank] for rank in range(WORLD))
    assert 1e-3 < first[0] < 0.1 and first[0] == second[0] and first[1] == second[1]
    assert 0 < first[2][1] < first[2][0] == CASES[name][0].tokens / WORLD


@pytest.mark.parametrize("name, what", cases(FREQUENCIES))
def test_a_rank_splits_its_own_tokens(found, name, what):
    assert all(found[name, what, rank][0] < 1e-5 for rank in range(WORLD))


@pytest.mark.parametrize("name, what", cases(DECIDING))
def test_ranks_decide_alike_though_they_see_other_changes(found, name, what):
    (_, first, _, seen), (_, second, _, other) = (found[name, what, rank] for rank in range(WORLD))
    assert first == second and len(first) == CASES[name][0].noise[0]
    assert all("cached" in kinds and kinds.count("full") > 1 for kinds in first)
    assert seen != other and list(map(len, seen)) == list(map(len, other))


@pytest.mark.parametrize("name", DECIDING)
def test_they_do_beside_a_group_that_is_named(found, name):
    """As of data-parallel ranks: here each is alone in it."""
    kinds, *_ = (found["Wan", name, rank][1] for rank in range(WORLD))
    assert all(found["named", name, rank] == kinds for rank in range(WORLD))


def test_the_part_of_a_rank(found):
    """The first has one token more; sides of a grid of which no row is cut."""
    assert [found["parts", rank][0] for rank in range(WORLD)] == [[7, 4], [7, 3]]
    assert found["parts", 0][1] == [(2, 6), (), ()]
