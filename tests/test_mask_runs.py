"""Masks over whole runs, of a DiT and of a U-ViT, against plain transcriptions."""

import random

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    MaskSchedule,
    NoCorrection,
    TaylorForecaster,
    cache,
    summary,
)
from clusca_ext.random_keys import random_keys
from plain_forecasts import plain_run
from plain_masks import PlainMasks, PlainUViT, bounded
from small_dit import options, sample
from test_equations import PickedByRule
from test_uvit import ADAPTER, UViT

STEPS, CLUSTERS = 12, 8


def marks_of(blocks, steps=STEPS, full=(0, 1, 6), cached=(4, 9), seed=0):
    """Some steps full, some cached, the others mixed: half of the modules, of each its own."""
    draw = random.Random(seed)
    fixed = dict.fromkeys(full, 1) | dict.fromkeys(cached, 0)
    return {
        (block, name): [fixed.get(step, draw.randrange(2)) for step in range(steps)]
        for block in range(blocks)
        for name in ("attn", "mlp")
    }


def schedule_of(marks):
    return MaskSchedule(modules={f"{name}-{block}": m for (block, name), m in marks.items()})


CORRECTORS = {
    "none": NoCorrection(),
    "delta": ClusterCorrector(num_clusters=CLUSTERS, gamma=0.3, share_cfg=False),
    "value": ClusterCorrector(num_clusters=CLUSTERS, gamma=0.3, share_cfg=False, rule="value"),
    "persistent": ClusterCorrector(
        num_clusters=CLUSTERS, gamma=0.3, share_cfg=False, rule="value", persistent=True
    ),
}


def with_picked(corrector):
    """The representatives that the transcription takes, too."""
    if isinstance(corrector, NoCorrection):
        return corrector
    return ClusterCorrector(**{**vars(corrector), "selection": PickedByRule()})


def plain_image(model, marks, order, corrector):
    """With the clusters of the transcription itself, from the same first centroids."""
    if isinstance(corrector, NoCorrection):
        return plain_run(model, PlainMasks(model, marks, order, bounded(order)), STEPS)
    drawn = random_keys(torch.tensor([0, 0]), -1, 64).topk(CLUSTERS, dim=1).indices
    plain = PlainMasks(model, marks, order, bounded(order), corrector, drawn.expand(4, -1))
    return plain_run(model, plain, STEPS)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", CORRECTORS)
def test_masks_equal_their_transcription(name, order, model):
    marks, corrector = marks_of(3), CORRECTORS[name]
    expected = plain_image(model, marks, order, corrector)
    config = ClusCaConfig(
        schedule=schedule_of(marks),
        forecaster=TaylorForecaster(order=order),
        corrector=with_picked(corrector),
    )
    with cache(model, config, **options(STEPS)):
        got = sample(model, STEPS)
        told = summary(model)
    assert (told.full, told.cached, told.partial) == (3, 2, 7)
    assert (got - expected).norm() <= 1e-5 * expected.norm()
    # Reuse would give something else, and so would no clusters.
    if order:
        reused = plain_image(model, marks, 0, corrector)
        assert (reused - expected).norm() > 1e-4 * expected.norm()
    if name != "none":
        alone = plain_image(model, marks, order, NoCorrection())
        assert (alone - expected).norm() > 1e-4 * expected.norm()


def uvit_run(model, steps=8):
    """A sampler whose errors go on from step to step; its input leaves the token of time out."""
    x = torch.randn(2, 40, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for step in range(steps):
            x = x - 0.1 * model(x, torch.full((2,), 1000 - 100 * step))[:, 1:]
    return x


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", ["none", "delta"])
def test_masks_of_a_uvit_equal_their_transcription(name, order):
    """Its long skips carry what the inner blocks made of forecasts."""
    marks = marks_of(5, steps=8, full=(0, 1), cached=(4,))
    drawn = random_keys(torch.tensor([0, 0]), -1, 41).topk(CLUSTERS, dim=1).indices
    corrected = {"gamma": 0.3, "start": drawn.expand(2, -1)} if name == "delta" else {}
    expected = uvit_run(PlainUViT(UViT(), marks, order, **corrected))
    model = UViT()
    config = ClusCaConfig(
        schedule=schedule_of(marks),
        forecaster=TaylorForecaster(order=order),
        corrector=with_picked(CORRECTORS[name]),
    )
    with cache(model, config, adapter=ADAPTER, timesteps=[1000 - 100 * s for s in range(8)]):
        got = uvit_run(model)
        told = summary(model)
    assert (told.full, told.cached, told.partial) == (2, 1, 5)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    without = uvit_run(PlainUViT(UViT(), marks, order) if corrected else UViT())
    assert (without - expected).norm() > 1e-3 * expected.norm()
