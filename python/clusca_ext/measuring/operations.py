"""Counted operations of a step, without running it: the model on the device "meta" is called once.

Matrix products, convolutions and attention are counted, as ``clusca_ext.demo.flops`` does for the
embedded model; element-wise operations, which are bound by memory, have no share.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from clusca_ext import ClusCaConfig, ClusterCorrector
from clusca_ext.adapters import describe
from clusca_ext.correction.tokens import TokenCorrector
from clusca_ext.estimate import most_of
from clusca_ext.measuring.models import MODELS, Model, make


@dataclass(frozen=True)
class Operations:
    """Of one call of a model.

    Attributes:
        full: All of them.
        outside: Those of what is in no block: embedders, the last projection.
        modulation: Those of the layers that modulate the blocks' first stream.
        mlps: Those of the modules in which representatives are computed, of all tokens.
        tokens: Tokens of the stream.
        distances: Those of the distances of all tokens to one centroid.
    """

    full: int
    outside: int
    modulation: int
    mlps: int
    tokens: int
    distances: int

    def cached(self, config: ClusCaConfig) -> float:
        """Of a cached step of ours: nothing attends, and one token of a cluster is computed."""
        share = min(_computed(config, self.tokens), self.tokens) / self.tokens
        return self.outside + self.modulation + share * self.mlps

    def clustering(self, config: ClusCaConfig) -> int:
        """Of k-means after a full step, had it to take all its iterations."""
        if not isinstance(config.corrector, ClusterCorrector):
            return 0
        return (config.corrector.max_iters + 1) * _clusters(config) * self.distances

    def speedup(self, config: ClusCaConfig, full: int, cached: int) -> float:
        """What so many full and cached steps promise over full ones only."""
        run = full * (self.full + self.clustering(config)) + cached * self.cached(config)
        return (full + cached) * self.full / run


def _computed(config: ClusCaConfig, tokens: int) -> float:
    """Tokens of a cached step that go through the MLPs."""
    corrector = config.corrector
    if isinstance(corrector, TokenCorrector):
        return corrector.ratio * tokens / corrector.every
    return _clusters(config) / getattr(corrector, "every", 1)


def _clusters(config: ClusCaConfig) -> int:
    corrector = config.corrector
    return corrector.num_clusters if isinstance(corrector, ClusterCorrector) else 0


@lru_cache
def operations(name: str) -> Operations:
    """Of a model of ``MODELS``."""
    return count(MODELS[name], make(MODELS[name], "meta", torch.bfloat16))


def count(described: Model, model: nn.Module) -> Operations:
    """Of a model at a size.

    Args:
        described: The size, and the model's inputs.
        model: The model, on the device "meta".
    """
    model.requires_grad_(False)  # what counts by module would follow gradients
    dtype = most_of(model)

    def random(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta", dtype=dtype)

    latents = random(*described.latents)
    timestep = random(len(latents)).to(described.timestep_dtype or dtype)
    with torch.inference_mode(), FlopCounterMode(display=False, depth=cast(int, None)) as counter:
        model(latents, timestep=timestep, return_dict=False, **described.inputs(random))
    found = {
        place.partition(".")[2]: sum(counts.values())
        for place, counts in counter.get_flop_counts().items()
    }
    places = {module: place for place, module in model.named_modules()}

    def of(modules: Iterable[nn.Module]) -> int:
        return sum(found.get(places[module], 0) for module in modules)

    total, described_blocks = counter.get_total_flops(), describe(model).blocks
    blocks = [each.block for each in described_blocks]
    norms = [layer for block in blocks for layer in [_modulating(block)] if layer is not None]
    modules = [module for each in described_blocks for module in each.modules]
    config: Any = model.config
    channels = config.num_attention_heads * config.attention_head_dim
    return Operations(
        full=total,
        outside=total - of(blocks),
        modulation=of(norms),
        mlps=of(each.module for each in modules if each.represents),
        tokens=described.tokens,
        distances=2 * len(latents) * described.tokens * channels,
    )


def _modulating(block: nn.Module) -> nn.Module | None:
    """The layer of a block that modulates its stream; None: it has tables of vectors instead."""
    for name in ("norm1", "norm", "img_mod"):
        layer = getattr(block, name, None)
        if isinstance(layer, nn.Module):
            return layer
    return None
