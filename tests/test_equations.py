"""The cache against ClusCa's equations written out in plain PyTorch, over whole runs."""

import dataclasses

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    ExplicitSchedule,
    HermiteForecaster,
    NoCorrection,
    TaylorForecaster,
    cache,
)
from clusca_ext.random_keys import random_keys
from plain_dit import PlainClusCa, picked
from small_dit import make_dit, options, sample, scheduler_of


@dataclasses.dataclass(frozen=True)
class PickedByRule:
    """The same representatives on both sides."""

    of_members = True

    def select(self, clusters, seed, layers):
        step = int(seed.reshape(-1, 2)[0, 1])
        return [
            picked(clusters.cluster_ids, clusters.num_clusters, step, layer)
            for layer in range(layers)
        ]


def plain_run(model, config, steps, samples):
    """``sample`` with a plain transcription in the model's place."""
    decide = config.schedule.start(steps)

    class Index:
        def __init__(self, index):
            self.index = index

    full = {i for i in range(steps) if decide(Index(i))}
    corrector = None if isinstance(config.corrector, NoCorrection) else config.corrector
    start = None
    if corrector is not None:
        keys = random_keys(torch.tensor([0, 0]), -1, 64)
        start = keys.topk(corrector.num_clusters, dim=1).indices.expand(2 * samples, -1)
        start = start.to(next(model.parameters()).device)
    plain = PlainClusCa(
        model, full, config.forecaster.order, config.forecaster.weights, corrector, start
    )

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, rows, timestep, class_labels):
            output = type("Output", (), {})()
            output.sample = plain(rows, timestep, class_labels)
            return output

    return sample(Model(), steps, samples)


def assert_same_run(device, config, steps=12, samples=2):
    """Within rounding over a whole run: the sampler and the model carry it on from step to step."""
    model = make_dit(device)
    expected = plain_run(model, config, steps, samples)
    with cache(model, config, **options(steps)):
        got = sample(model, steps, samples)
    # A few float32 roundings a layer and step, none of which the equations order otherwise.
    assert (got - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("samples", [1, 3])
def test_the_papers_preset_over_fifty_steps(samples, device):
    paper = ClusCaConfig.paper("dit")
    corrector = dataclasses.replace(paper.corrector, selection=PickedByRule())
    assert_same_run(
        device, dataclasses.replace(paper, corrector=corrector), steps=50, samples=samples
    )


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("rule", ["delta", "value"])
@pytest.mark.parametrize("persistent", [False, True])
def test_every_rule(rule, gamma, persistent, device):
    if persistent and rule == "delta":
        with pytest.raises(ValueError, match='persistent=True needs rule="value"'):
            ClusterCorrector(rule=rule, persistent=True)
        return
    corrector = ClusterCorrector(
        num_clusters=8,
        gamma=gamma,
        rule=rule,
        persistent=persistent,
        share_cfg=False,
        selection=PickedByRule(),
    )
    assert_same_run(device, ClusCaConfig(corrector=corrector))


@pytest.mark.parametrize(
    "forecaster",
    [
        TaylorForecaster(order=0),
        TaylorForecaster(order=1, bounded=False),
        TaylorForecaster(order=3),
        HermiteForecaster(),
        HermiteForecaster(order=4, bounded=False),
    ],
    ids=str,
)
def test_every_forecaster_with_uneven_spacings(forecaster, device):
    """Spacings 1, 2, 4, 3: differences are divided by their own."""
    schedule = ExplicitSchedule(steps=(0, 1, 3, 7, 10))
    config = ClusCaConfig(schedule=schedule, forecaster=forecaster, corrector=NoCorrection())
    assert_same_run(device, config, steps=14)


def test_the_transcription_itself_is_the_model_on_full_steps(device):
    model = make_dit(device)
    config = ClusCaConfig(
        schedule=ExplicitSchedule(steps=tuple(range(6))), corrector=NoCorrection()
    )
    torch.testing.assert_close(plain_run(model, config, 6, 2), sample(model, 6, 2))
    assert len(scheduler_of(6).timesteps) == 6
