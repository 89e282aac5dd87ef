"""Presets by model: they run, and the table says where they come from."""

import dataclasses

import pytest
from torch import nn

from clusca_ext import ClusCaConfig, ExplicitSchedule, cache, summary, supported
from families_image import IMAGES
from families_video import VIDEOS
from test_branches import wan_pipeline
from test_families import TIMES, run

PAPERS = {
    "DiTTransformer2DModel": "dit",
    "FluxTransformer2DModel": "flux",
    "HunyuanVideoTransformer3DModel": "hunyuan_video",
}


@pytest.mark.parametrize("family", IMAGES + VIDEOS, ids=str)
def test_presets_run(family):
    model = family.make()
    preset = ClusCaConfig.for_model(model)
    paper = PAPERS.get(type(model).__name__)
    assert preset == (ClusCaConfig.paper(paper) if paper else ClusCaConfig())
    short = dataclasses.replace(preset, schedule=ExplicitSchedule(steps=(0, 2, 5)))
    with cache(model, short, timesteps=TIMES):
        assert all(output.isfinite().all() for output in run(family, model))
        assert (summary(model).full, summary(model).cached) == (3, 5)


def test_of_a_pipeline():
    assert ClusCaConfig.for_model(wan_pipeline()) == ClusCaConfig()


def test_of_an_unknown_model():
    with pytest.raises(ValueError, match="model must be one of .*DiTTransformer2DModel.* got Lin"):
        ClusCaConfig.for_model(nn.Linear(2, 2))


def test_the_table():
    rows = repr(supported()).splitlines()
    assert len(rows) == len(supported()) >= 12
    for row in rows:
        name, source = row.split(maxsplit=1)
        assert name in supported()
        assert ("paper" in source) == (name in PAPERS)
