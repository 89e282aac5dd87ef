"""A family that a user adds."""

import pytest
import torch
from torch import nn

from clusca_ext import BlockAdapter, adapters, cache, register_adapter, summary, supported
from test_adapters import DIT_LIKE, Block, Model, run
from test_block_fit import REUSE


def test_a_family_of_ones_own(monkeypatch):
    monkeypatch.setattr(adapters, "_DESCRIBE", dict(adapters._DESCRIBE))

    @register_adapter("Model")
    def describe(model):
        return BlockAdapter(**vars(DIT_LIKE)).describe(model)

    assert "Model" in supported()
    model = Model(lambda dim: Block(dim, nn.LayerNorm))
    expected = cached_run(model, BlockAdapter(**vars(DIT_LIKE)))
    for a, b in zip(cached_run(model, None), expected, strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="must be a class without an adapter, got 'Model'"):
        register_adapter("Model")
    with pytest.raises(ValueError, match="model must be the name of a class, got"):
        register_adapter(Model)


def cached_run(model, adapter):
    with cache(model, REUSE, adapter=adapter):
        out = run(model)
        assert summary(model).cached
        return out
