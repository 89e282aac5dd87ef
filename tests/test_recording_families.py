"""A recorder on every family: the run stays as it is, and maps lie on the grid of its tokens."""

import math

import pytest
import torch

from clusca_ext import ClusCaConfig, ClusterCorrector, ExplicitSchedule, cache
from clusca_ext.recording import Recorder
from clusca_ext.recording.packing import unpack
from families_image import IMAGES
from families_video import VIDEOS
from family import fixed
from test_families import TIMES

FEW = ClusCaConfig(
    schedule=ExplicitSchedule(steps=(0, 2)), corrector=ClusterCorrector(num_clusters=4)
)
STEPS = TIMES[:4]


@torch.no_grad()
def run(model, family):
    noise = fixed(*family.noise)
    return [model(**family.inputs(noise, t), return_dict=False)[0] for t in STEPS]


@pytest.mark.parametrize("family", (*IMAGES, *VIDEOS), ids=str)
def test_a_family_is_recorded(family):
    model = family.make()
    with cache(model, FEW, timesteps=STEPS):
        expected = run(model, family)
    with Recorder(model, "run", FEW, timesteps=STEPS) as recorder:
        outputs = run(model, family)
    seen = recorder.recording()
    flat = [each for output in (outputs, expected) for each in output]
    for ours, theirs in zip(flat[: len(STEPS)], flat[len(STEPS) :], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert [step.kind for step in seen.steps] == ["full", "cached", "full", "cached"]
    assert seen.features is not None and seen.features.steps == (2,)
    assert (seen.gates is not None) == family.planned, seen.missing
    if seen.maps is None:
        assert "grid" in seen.missing["maps"]
        return
    assert math.prod(seen.maps.grid) * seen.maps.frames == family.tokens
    assert len(seen.maps.steps) == 4
    for each in seen.maps.steps:
        labels = unpack(seen.maps.labels[each.labels[0]])
        tokens = [token for packed in each.representatives for token in unpack(packed)]
        assert len({labels[token] for token in tokens}) == len(tokens)
