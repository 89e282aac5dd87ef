"""Clusters that correct only some cached steps of an interval: the others forecast all tokens."""

import dataclasses

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    ExplicitSchedule,
    IntervalSchedule,
    LeanStorage,
    NoCorrection,
    TokenCorrector,
    cache,
    summary,
)
from families_image import FLUX
from plain_dit import PlainClusCa
from small_dit import make_dit, options, sample
from test_compile_cache import compile_whole, fresh, run_compiled  # noqa: F401
from test_equations import PickedByRule, plain_run
from test_families import TIMES, run

STEPS = 16
SCHEDULE = ExplicitSchedule(steps=(0, 3, 7, 12))  # corrected: 1, 4, 6, 8, 10, 13, 15
ROWS = [64, 8, 64, 8, 8, 64, 8, 8, 64, 8, 8]
STORAGES = {
    "per block": "per_block",
    "window": "lean",
    "exact": LeanStorage(basis="exact"),
    "gated": LeanStorage(basis="gated"),
}


def config_of(storage="per_block", every=2, **corrector):
    corrector = ClusterCorrector(**({"num_clusters": 8} | corrector), every=every)
    return ClusCaConfig(schedule=SCHEDULE, corrector=corrector, storage=storage)


def watch(model, rows):
    for block in model.transformer_blocks:
        block.ff.register_forward_pre_hook(lambda module, args: rows.append(args[0].shape[1]))


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("name", STORAGES)
def test_other_steps_run_no_mlp(name, known, device):
    if name == "exact" and not known:
        pytest.skip("the exact basis needs timesteps that are known")
    model, rows = make_dit(device, layers=1), []
    watch(model, rows)
    told = options(STEPS) if known else {"cfg_rows": ("cond", "uncond")}
    with cache(model, config_of(STORAGES[name]), **told):
        sample(model, STEPS)
        said = summary(model)
    assert rows == ROWS
    assert (said.representatives, said.corrected, said.cached) == (8, 7, 12)


@pytest.mark.parametrize("name", STORAGES)
def test_graphs_equal_eager_runs(name, graphs, device):
    model, config = make_dit(device), config_of(STORAGES[name])
    with cache(model, dataclasses.replace(config, cuda_graph=False), **options(STEPS)):
        expected = sample(model, STEPS)
    with cache(model, config, **options(STEPS)):
        for count in (1, 2):
            assert torch.equal(sample(model, STEPS), expected)
            assert graphs.captures + graphs.replays == 12 * count


class Alternating(PlainClusCa):
    """The transcription, whose even steps of an interval forecast everything."""

    def _cached(self, *args):
        corrector = self.corrector
        if (self.step - self.last) % 2 == 0:
            self.corrector = None
        x = super()._cached(*args)
        self.corrector = corrector
        return x


@pytest.mark.parametrize("rule, persistent", [("delta", False), ("value", False), ("value", True)])
def test_equals_the_transcription(rule, persistent, monkeypatch, device):
    model = make_dit(device)
    how = {"rule": rule, "persistent": persistent, "share_cfg": False}
    # So few that none is empty, which the transcription does not know.
    config = config_of(selection=PickedByRule(), num_clusters=4, **how)
    monkeypatch.setattr("test_equations.PlainClusCa", Alternating)
    expected = plain_run(model, config, STEPS, 2)
    with cache(model, config, **options(STEPS)):
        got = sample(model, STEPS, 2)
    assert (got - expected).norm() <= 1e-5 * expected.norm()


def test_lean_equals_per_block_where_every_token_is_a_cluster(device):
    """Whoever is chosen when: at corrected steps all MLPs are computed."""
    model, drawn = make_dit(device), []
    everyone = config_of(num_clusters=64, max_iters=0)
    for config in (
        everyone,
        dataclasses.replace(everyone, storage=LeanStorage(basis="exact")),
        dataclasses.replace(everyone, corrector=NoCorrection()),
    ):
        # Behind the first full step alone: later ones may move tokens to each other's cluster.
        once = dataclasses.replace(config, schedule=ExplicitSchedule(steps=(0,)))
        with cache(model, once, **options(6)):
            drawn.append(sample(model, 6))
    per_block, lean, forecast = drawn
    assert (lean - per_block).norm() <= 1e-5 * per_block.norm()
    assert (forecast - per_block).norm() > 1e-3 * per_block.norm()


def test_rows_of_steps_without_representatives_are_not_kept():
    model, sizes = make_dit(), []
    for every in (1, 2, 9):
        with cache(model, config_of("lean", every=every), **options(STEPS)):
            sample(model, STEPS)
            sizes.append(summary(model).cache_bytes)
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("corrector", [ClusterCorrector(num_clusters=8), TokenCorrector(ratio=0.1)])
def test_a_family_of_two_streams(corrector, device):
    """The steps after the first of an interval differ from forecasts by what that one learnt."""
    schedule = ExplicitSchedule(steps=(0, 2, 5))
    model, outputs = FLUX.make().to(device), []
    for each in (NoCorrection(), *(dataclasses.replace(corrector, every=e) for e in (1, 2))):
        with cache(model, ClusCaConfig(schedule=schedule, corrector=each), timesteps=TIMES):
            outputs.append(run(FLUX, model.cpu()))
    none, every, second = outputs
    for step, _ in enumerate(TIMES):
        corrected = step in (1, 3, 6)  # with every=2; of FLUX a step does not depend on others
        assert torch.equal(second[step], (every if corrected else none)[step])
    assert not torch.equal(every[4], none[4])


@pytest.mark.parametrize(
    "config",
    [config_of(), ClusCaConfig(corrector=TokenCorrector(persistent=True, every=2))],
    ids=["clusters", "tokens-persistent"],
)
def test_a_compiled_model_has_one_graph_for_each_kind(config):
    """Full steps, cached ones that are corrected, and those that are not."""
    schedule = IntervalSchedule(interval=5, warmup=2)
    run_compiled(compile_whole, False, dataclasses.replace(config, schedule=schedule), graphs=3)
