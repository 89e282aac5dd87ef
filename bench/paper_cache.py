"""The paper's cache in plain torch, as its released code goes about a step: what ours must beat.

Written from the equations, not from that code. Factors lie in dicts of tensors, one a module and
order; every module sums its own forecast; representatives are drawn anew for every MLP; what they
compute is scattered into the cached feature, which then moves towards it. The text stream is
updated too: forecast and scattered, not spread. Nothing here calls an operator of clusca_ext.

Where that code does needless work, this does not: representatives are gathered before they are
normalised, and the attention of single-stream blocks is not cached beside what it flows into. An
empty cluster keeps its centroid.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext import ClusCaConfig
from clusca_ext.schedule import Step

Key = tuple[int, str]  # layer and module
Factors = dict[int, Tensor]  # by order, each [B, N, D]


def add_forecast(x: Tensor, gate: Tensor, factors: Factors, distance: int) -> Tensor:
    """x + gate * sum_i F^(i) d^i / i!. [B, N, D], gate [B, D]"""
    total = sum(factors[i] * (distance**i / math.factorial(i)) for i in factors)
    return x + gate.unsqueeze(1) * total


def lloyd(tokens: Tensor, start: Tensor, config: Any) -> tuple[Tensor, Tensor]:
    """Labels and centroids by L1 distances and means; asks the device at every iteration."""
    centroids = start
    for _ in range(config.max_iters):
        distances = torch.cdist(tokens.float(), centroids.float(), p=1.0)
        ids = distances.argmin(2)
        members = nn.functional.one_hot(ids, centroids.shape[1]).to(tokens.dtype)  # [B, N, K]
        counts = members.sum(1).unsqueeze(2)
        means = members.transpose(1, 2) @ tokens / counts.clamp(min=1)
        moved = torch.where(counts > 0, means, centroids)
        done = torch.allclose(moved, centroids, rtol=config.rtol)
        centroids = moved
        if done:
            break
    return ids, centroids


def anywhere(tokens: Tensor, num_clusters: int) -> Tensor:
    """Random tokens, one maybe twice. [B, K]"""
    return torch.randint(tokens.shape[1], (len(tokens), num_clusters), device=tokens.device)


def draw(ids: Tensor, num_clusters: int, step: int, layer: int) -> Tensor:
    """A random member of every cluster. [B, K]"""
    clusters = torch.arange(num_clusters, device=ids.device).view(1, -1, 1)
    keys = torch.rand(len(ids), num_clusters, ids.shape[1], device=ids.device)
    return keys.masked_fill(ids.unsqueeze(1) != clusters, -1.0).argmax(2)


class PaperCache:
    """The state of one model's run, and what the blocks of ``paper_blocks`` ask of it.

    Args:
        config: ``ClusCaConfig.paper``'s settings; its schedule may be another.
        steps: Steps of a run; the call after them begins a new one.
        add: Adds a forecast to the stream.
        fit: Clusters the tokens of a full step.
        pick: Draws representatives.
        first: Of the first full step's tokens, those that are the first centroids, [B, K].
    """

    def __init__(
        self,
        config: ClusCaConfig,
        steps: int,
        add: Callable[..., Tensor] = add_forecast,
        fit: Callable[..., tuple[Tensor, Tensor]] = lloyd,
        pick: Callable[..., Tensor] = draw,
        first: Callable[..., Tensor] = anywhere,
    ) -> None:
        self.order: int = config.forecaster.order  # type: ignore[attr-defined]
        self.corrector: Any = config.corrector
        self.steps, self.decide = steps, config.schedule.start(steps)
        self.add, self.fit, self.pick, self.first = add, fit, pick, first
        self.calls = 0

    # ---- a step

    def begin(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        self.step = self.calls % self.steps
        if self.step == 0:
            self.factors: dict[Key, Factors] = {}
            self.clusters: dict[str, tuple[Tensor, Tensor]] = {}  # by stream: ids, centroids
            self.last = 0
        self.full = bool(self.decide(Step(self.step, self.steps)))

    def end(self, model: nn.Module, args: Any, output: Any) -> None:
        if self.full:
            self.last = self.step
        self.calls += 1

    def bytes(self) -> int:
        factors = [each for by_order in self.factors.values() for each in by_order.values()]
        return sum(each.numel() * each.element_size() for each in factors)

    # ---- of a full step

    def keep(self, key: Key, feature: Tensor) -> None:
        """Finite differences with the last full step's factors."""
        old, new = self.factors.get(key, {}), {0: feature}
        for i in range(min(self.order, len(old))):
            new[i + 1] = (new[i] - old[i]) / (self.step - self.last)
        self.factors[key] = new

    def cluster(self, stream: str, tokens: Tensor) -> None:
        """From the last full step's centroids."""
        if stream in self.clusters:
            start = self.clusters[stream][1]
        else:
            first = self.first(tokens, min(self.corrector.num_clusters, tokens.shape[1]))
            start = tokens.gather(1, first.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
        self.clusters[stream] = self.fit(tokens, start, self.corrector)

    # ---- of a cached step

    def forecast(self, x: Tensor, gate: Tensor, key: Key) -> Tensor:
        return self.add(x, gate, self.factors[key], self.step - self.last)

    def correct(
        self, x: Tensor, stream: str, key: Key, mlp: Callable[[Tensor], Tensor], spreads: bool
    ) -> None:
        """Compute representatives, and write them into the cached feature and its clusters."""
        (ids, centroids), D = self.clusters[stream], x.shape[2]
        tokens = self.pick(ids, centroids.shape[1], self.step, key[0])
        index = tokens.unsqueeze(2).expand(-1, -1, D)
        computed = mlp(x.gather(1, index))  # [B, K, D]
        feature, gamma = self.factors[key][0].scatter_(1, index, computed), self.corrector.gamma
        if spreads:
            own = computed.gather(1, ids.unsqueeze(2).expand(-1, -1, D))
            feature = gamma * own + (1 - gamma) * feature
        self.factors[key][0] = feature


@contextmanager
def papers(model: nn.Module, cache: PaperCache) -> Iterator[PaperCache]:
    """The model with the paper's cache.

    Raises:
        NotImplementedError: The model is of no class that is written out here.
    """
    from paper_blocks import described  # its blocks are written in terms of this module

    hooks, blocks = described(model, cache)
    handles = [model.register_forward_pre_hook(cache.begin, with_kwargs=True)]
    handles.append(model.register_forward_hook(cache.end))

    def capture(take: Callable[[Any], None], module: nn.Module, args: Any, output: Any) -> None:
        if cache.full:
            take(output)

    handles += [each.register_forward_hook(partial(capture, take)) for each, take in hooks]
    for block, cached in blocks:
        block.forward = partial(_forward, cache, block.forward, cached)
    try:
        yield cache
    finally:
        for handle in handles:
            handle.remove()
        for block, _ in blocks:
            del block.forward


def _forward(
    cache: PaperCache, original: Any, cached: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    return (original if cache.full else cached)(*args, **kwargs)
