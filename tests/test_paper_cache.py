"""bench/paper_cache.py, that our cached steps are measured against, computes what ours compute."""

import dataclasses

import pytest
import torch

from clusca_ext import ClusCaConfig, IntervalSchedule, cache, ops
from clusca_ext.measuring.models import MODELS
from clusca_ext.random_keys import random_keys
from clusca_ext.schedule import Step
from loop import Loop
from methods import compiled
from paper_cache import PaperCache, add_forecast, anywhere, draw, lloyd, papers
from plain_dit import picked
from test_equations import PickedByRule

STEPS = 12


def settings_of(loop, clusters=6):
    """The paper's, with clusters so few that none is empty."""
    paper = ClusCaConfig.for_model(loop.model)
    corrector = dataclasses.replace(
        paper.corrector, num_clusters=clusters, gamma=0.1, selection=PickedByRule()
    )
    return dataclasses.replace(
        paper, corrector=corrector, schedule=IntervalSchedule(interval=4, warmup=2)
    )


def fit_as_ours(tokens, start, config):
    ids, _, centroids, *_ = ops.kmeans_fit(
        tokens.contiguous(), start.float(), config.metric, config.max_iters, config.rtol
    )
    return ids.long(), centroids


def pick_as_ours(ids, num_clusters, step, layer):
    return picked(ids, num_clusters, step, layer).long()


def in_torch(loop, config, **choices):
    with papers(loop.model, PaperCache(config, STEPS, **choices)) as state:
        loop.run(STEPS)
        state.runs = loop.result
    return state


@pytest.mark.parametrize(
    ("name", "add"),
    [
        ("tiny", add_forecast),
        ("tiny-dit", add_forecast),
        ("tiny-hunyuan", add_forecast),
        ("tiny-dit", compiled()),
    ],
    ids=["flux", "dit", "hunyuan_video", "dit-compiled"],
)
def test_it_is_our_preset(name, add):
    """With the same clusters and representatives; text, which ours skips, is drawn freely."""
    loop = Loop(MODELS[name], "cpu", torch.float32)
    config = settings_of(loop)
    K, N = config.corrector.num_clusters, MODELS[name].tokens
    start = random_keys(torch.tensor([0, 0]), -1, N).topk(K, dim=1).indices

    def pick(ids, num_clusters, step, layer):
        one = pick_as_ours if ids.shape[1] == N else draw
        return one(ids, num_clusters, step, layer)

    def first(tokens, num_clusters):
        is_image = tokens.shape[1] == N
        return start.expand(len(tokens), -1) if is_image else anywhere(tokens, num_clusters)

    loop.run(STEPS)
    uncached = loop.result
    state = in_torch(loop, config, add=add, fit=fit_as_ours, pick=pick, first=first)
    again = in_torch(loop, config, add=add, fit=fit_as_ours, pick=pick, first=first)
    with cache(loop.model, config, timesteps=loop.timesteps(STEPS)):
        loop.run(STEPS)
    torch.testing.assert_close(state.runs, loop.result, rtol=1e-4, atol=1e-5)
    assert torch.equal(state.runs, again.runs)
    assert (state.runs - uncached).abs().max() > 1e-3  # else it would show nothing
    loop.run(STEPS)
    assert torch.equal(loop.result, uncached)  # the model is as it was


def test_text_is_updated_too():
    """Ours skips it: what its MLPs see of a cached step are representatives, as of the image."""
    loop = Loop(MODELS["tiny"], "cpu", torch.float32)
    seen = {"ff": [], "ff_context": []}
    for block in loop.model.transformer_blocks:
        for name, shapes in seen.items():
            module = getattr(block, name)
            module.register_forward_pre_hook(lambda _, args, to=shapes: to.append(args[0].shape[1]))
    state = in_torch(loop, settings_of(loop))
    full = sum(state.decide(Step(step, STEPS)) for step in range(STEPS))
    blocks = len(loop.model.transformer_blocks)
    for shapes, tokens in zip(seen.values(), (64, 12), strict=True):
        assert shapes.count(tokens) == full * blocks
        assert shapes.count(6) == (STEPS - full) * blocks
    texts = [features for (_, name), features in state.factors.items() if name == "text mlp"]
    assert len(texts) == blocks and all(each[0].isfinite().all() for each in texts)


def test_clusters_learn():
    """Without it the loop ends elsewhere."""
    loop = Loop(MODELS["tiny-dit"], "cpu", torch.float32)
    config = settings_of(loop)
    silent = dataclasses.replace(config, corrector=dataclasses.replace(config.corrector, gamma=0.0))
    first, second = in_torch(loop, config), in_torch(loop, silent)
    assert (first.runs - second.runs).abs().max() > 1e-4


def test_its_clusters_are_ours():
    tokens, config = torch.randn(2, 200, 8), ClusCaConfig.paper("dit").corrector
    start = tokens[:, :5].contiguous()
    ids, centroids = lloyd(tokens, start, config)
    expected, _, means, *_ = ops.kmeans_fit(tokens, start, "l1", config.max_iters, config.rtol)
    assert torch.equal(ids, expected.long())
    torch.testing.assert_close(centroids, means)


def test_an_empty_cluster_keeps_its_centroid():
    tokens = torch.randn(1, 20, 4)
    start = torch.cat([tokens[:, :2], torch.full((1, 1, 4), 1e3)], dim=1)
    _, centroids = lloyd(tokens, start, ClusCaConfig.paper("dit").corrector)
    assert torch.equal(centroids[:, 2], start[:, 2])


def test_representatives_are_members_and_vary():
    ids = torch.arange(60).remainder(5).expand(2, -1)
    drawn = [draw(ids, 5, 0, 0) for _ in range(8)]
    assert all(torch.equal(ids.gather(1, each), torch.arange(5).expand(2, -1)) for each in drawn)
    assert len({tuple(each.flatten().tolist()) for each in drawn}) > 1
