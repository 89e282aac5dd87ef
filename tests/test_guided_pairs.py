"""Pipelines that batch guidance: which of their rows are one sample's, and in which order."""

import dataclasses

import pytest
import torch

from clusca_ext import ClusCaConfig, ClusterCorrector, ExplicitSchedule, cache, summary
from clusca_ext.cache import Cache
from family import fixed
from test_planned_pipelines import CASES, make

CONFIG = ClusCaConfig(
    schedule=ExplicitSchedule(steps=(0, 3)), corrector=ClusterCorrector(num_clusters=8)
)
Z_IMAGE = CASES["z-image"][2] | {
    "guidance_scale": 4.0,
    "negative_prompt_embeds": [fixed(32, 16, seed=3)],
}
# Inputs with guidance, those that change without it, and the group that is conditional.
GUIDED = {
    "sd3": (CASES["sd3"][2], {"guidance_scale": 1.0}, 1),
    "cogvideox": (CASES["cogvideox"][2], {"guidance_scale": 1.0}, 1),
    "mochi": (CASES["mochi"][2], {"guidance_scale": 1.0}, 1),
    "z-image": (Z_IMAGE, {"guidance_scale": 0.0}, 0),
}


def draw(pipe, inputs):
    generator = torch.Generator().manual_seed(0)
    more = {"num_inference_steps": 6, "output_type": "latent", "generator": generator}
    return pipe(**inputs, **more, return_dict=False)[0]


def clusters_of(pipe):
    found = Cache.of(pipe.transformer).clusters
    return found.groups, found.leader, len(found.cluster_ids), len(found.row_ids)


@pytest.mark.parametrize("name", GUIDED)
def test_the_halves_share_their_clusters(name):
    (kind, family, _), (inputs, alone, leader) = CASES[name], GUIDED[name]
    pipe = make(kind, family)
    plain = draw(pipe, inputs)
    with cache(pipe, CONFIG):
        first = draw(pipe, inputs)
        assert clusters_of(pipe) == (2, leader, 1, 2)
        assert (summary(pipe).full, summary(pipe).cached) == (2, 4)
        assert draw(pipe, inputs | alone).isfinite().all()
        assert clusters_of(pipe) == (1, 0, 1, 1)
        assert torch.equal(draw(pipe, inputs), first)
    assert not torch.equal(first, plain)


@pytest.mark.parametrize("name", GUIDED)
def test_without_sharing_each_half_has_its_own(name):
    (kind, family, _), (inputs, _, _) = CASES[name], GUIDED[name]
    pipe = make(kind, family)
    own = dataclasses.replace(CONFIG.corrector, share_cfg=False)
    with cache(pipe, dataclasses.replace(CONFIG, corrector=own)):
        draw(pipe, inputs)
        assert clusters_of(pipe) == (1, 0, 2, 2)


def test_z_image_that_stops_guiding_within_a_call():
    """Then its rows are samples of their own, though the pipeline says that it guides."""
    kind, family, _ = CASES["z-image"]
    pipe, groups = make(kind, family), []
    inputs = Z_IMAGE | {"num_images_per_prompt": 2, "cfg_truncation": 0.5}

    def look(*_):
        held = Cache.of(pipe.transformer)
        groups.append((held.clusters.groups, len(held.clusters.row_ids)))

    with cache(pipe, CONFIG):
        pipe.transformer.register_forward_hook(look)
        draw(pipe, inputs)
    assert groups[0] == (2, 4) and groups[-1] == (1, 2)


@pytest.mark.parametrize("name", GUIDED)
def test_the_leading_half_is_given_the_prompt(name):
    (kind, family, _), (inputs, _, leader) = CASES[name], GUIDED[name]
    pipe, given = make(kind, family), []

    def look(model, args, kwargs):
        given.append(args[2] if args else kwargs["encoder_hidden_states"])

    pipe.transformer.register_forward_pre_hook(look, with_kwargs=True)
    draw(pipe, inputs)
    expected = inputs["prompt_embeds"][0]
    for prompts in given:
        assert torch.equal(prompts[leader], expected)
        assert not torch.equal(prompts[1 - leader], expected)
