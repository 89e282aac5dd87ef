"""Branches of a bare model's next run: they begin one by one, and none of the last one leads."""

from dataclasses import replace

import pytest
import torch

from bare_runs import BARE
from clusca_ext import ClusterCorrector, SpeCaSchedule, cache, summary
from clusca_ext.cache import Cache
from small_dit import make_dit

TIMES = (900, 800, 700, 600, 500, 400)
LABELS = {"uncond": 10, "cond": 1}
CONFIGS = {
    "per block": replace(BARE, corrector=ClusterCorrector(num_clusters=4)),
    "lean": replace(BARE, corrector=ClusterCorrector(num_clusters=4), storage="lean"),
    "by sample": replace(BARE, schedule=SpeCaSchedule()),
}


def run(model, *names, size=16, rows=2):
    outputs = []
    for timestep in TIMES:
        noise = torch.Generator().manual_seed(timestep)
        latents = torch.randn(rows, 1, size, size, generator=noise)
        for name in names:
            labels = torch.full((rows,), LABELS[name])
            with torch.no_grad(), model.cache_context(name):
                out = model(latents, timestep=torch.full((rows,), timestep), class_labels=labels)
            outputs.append(out.sample)
    return torch.cat(outputs)


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def cached(request):
    model = make_dit()
    with cache(model, request.param, timesteps=TIMES):
        yield model


@pytest.mark.parametrize("names", [("uncond", "cond"), ("cond", "uncond")], ids="-".join)
def test_the_next_run_is_as_the_first(cached, names):
    first = run(cached, *names)
    assert torch.equal(run(cached, *names), first)
    run(cached, *names[::-1])
    assert torch.equal(run(cached, *names), first)


def test_the_next_run_may_be_of_another_size(cached):
    expected = run(cached, "uncond", "cond", size=12)
    run(cached, "uncond", "cond")
    assert torch.equal(run(cached, "uncond", "cond", size=12), expected)


def test_a_branch_that_no_longer_calls_is_given_back(cached):
    run(cached, "uncond", "cond")
    held = summary(cached)
    old = [each for name, each in Cache.of(cached).branches.items() if name.startswith("uncond")]
    alone = run(cached, "cond")
    assert summary(cached).branches < held.branches
    assert summary(cached).cache_bytes < held.cache_bytes
    assert [each.storage.bytes() for each in old] == [0] * len(old)
    assert torch.equal(run(cached, "cond"), alone)
