"""What a cache is fitted to: blocks by their index, and modules that were exchanged."""

import pytest
import torch
from torch import nn

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    FirstBlockSchedule,
    MaskSchedule,
    NoCorrection,
    cache,
)
from clusca_ext.branch import Branch
from clusca_ext.enable import cache_of
from small_dit import make_dit, options, sample

LAYERS = 4


@pytest.mark.parametrize("source", [0, 1, 2, -1, "last"])
def test_the_first_block_is_counted_where_it_is_not_cached(source, monkeypatch):
    """Tokens are clustered behind the block of that index of the model."""
    model, outputs, clustered = make_dit(layers=LAYERS), [], []
    cluster = Branch.cluster

    def watched(branch, step, tokens, clusters):
        clustered.append(tokens.clone())
        return cluster(branch, step, tokens, clusters)

    monkeypatch.setattr(Branch, "cluster", watched)
    index = {"last": LAYERS - 1, -1: LAYERS - 1, 0: 1}.get(source, source)  # the first: none is
    block = model.transformer_blocks[index]
    block.register_forward_hook(lambda block, args, output: outputs.append(output.clone()))
    schedule = FirstBlockSchedule(threshold=0.0)  # all steps are full
    corrector = ClusterCorrector(num_clusters=4, source=source)
    with cache(model, ClusCaConfig(schedule=schedule, corrector=corrector), **options()):
        sample(model, samples=1)
    assert len(clustered) == len(outputs) == 12
    assert all(torch.equal(a, b) for a, b in zip(clustered, outputs, strict=True))


def masks():
    marks = {"attn": [1, 0, 1] * 4, "mlp": [1, 0, 0] * 4}
    names = {f"{name}-{i}": marks[name] for name in marks for i in range(LAYERS)}
    return ClusCaConfig(schedule=MaskSchedule(modules=names), corrector=NoCorrection())


def test_what_does_not_fit_any_more_is_said_at_every_run():
    """And what fits again goes on."""
    model = make_dit(layers=LAYERS)
    blocks = model.transformer_blocks
    with cache(model, masks(), **options()):
        expected, found = sample(model), cache_of(model)
        kinds = list(found.leader.kinds)
        model.transformer_blocks = nn.ModuleList(blocks[:2])
        for _ in range(2):
            with pytest.raises(ValueError, match="must name the model's 4 modules, got"):
                sample(model)
        model.transformer_blocks = blocks
        assert torch.equal(sample(model), expected) and found.leader.kinds == kinds
    assert not any(block._forward_hooks for block in blocks)
