"""What a token's computation is worth at a cached step: the highest scores are computed.

A score looks at one sample at a time, and never waits for the device. ToCa (arXiv 2410.05317) ranks
tokens by how much attention they are given. No such map exists here: it would have to be written to
memory in every block, which fused attention kernels do not. Importance is how far a token moved
between the last two full steps, or random, with which DuCa (arXiv 2412.18911) found no worse
pictures.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.checks import integer, number, part
from clusca_ext.random_keys import random_keys

RANDOM_TOKENS = -2  # the layer whose keys rank tokens; real layers count from 0, -1 is k-means'


@dataclass(frozen=True)
class Signals:
    """What is known of the tokens of S samples at a cached step.

    Attributes:
        change: Distance that each token moved between the last two full steps, over its length
            before; the run's largest is 1. Random before there are two. [S, N] float32
        staleness: Steps since each token was computed last, 1 at least. [S, N] int32
        cluster_ids: Cluster of every token, -1 where it is in none. [S, N] int32
        num_clusters: Clusters K; 0: the scores ask for none.
        grid: Sides of the grid that the tokens lie on, the slowest first.
    """

    change: Tensor
    staleness: Tensor
    cluster_ids: Tensor
    num_clusters: int
    grid: tuple[int, ...]


class Scores(Protocol):
    """How tokens are ranked.

    One that reads no ``change`` may say so by an attribute ``reads_change`` that is False: no
    tokens are kept for it then, and ``change`` is zeros. One that reads ``cluster_ids`` says by an
    attribute ``num_clusters`` of how many.
    """

    def of(self, signals: Signals, seed: Tensor) -> Tensor:
        """Scores of all tokens; of equal ones the lower token is computed first. [S, N]

        Args:
            signals: What is known of the tokens.
            seed: (sample seed, step of the run), for each sample. int64 [S, 2]
        """


@dataclass(frozen=True, kw_only=True)
class RandomScores:
    """Tokens drawn anew at every step (DuCa, arXiv 2412.18911)."""

    reads_change = False

    def of(self, signals: Signals, seed: Tensor) -> Tensor:
        return uniform(seed, signals.staleness.shape[1])


@dataclass(frozen=True, kw_only=True)
class ChangeScores:
    """Tokens that moved most between the last two full steps."""

    reads_change = True

    def of(self, signals: Signals, seed: Tensor) -> Tensor:
        return signals.change


@dataclass(frozen=True, kw_only=True)
class ToCaScores:
    """Importance, staleness and spatial spread (ToCa, arXiv 2410.05317, its scores s1, s3, s4).

    ``importance + staleness_weight * staleness / interval``, and ``spatial_bonus`` more for the
    best token of each ``cell x cell`` square of the grid's last two sides. ToCa's importance is
    the attention that a token is given; see above why ours is another.

    Attributes:
        importance: Scores in [0, 1].
        staleness_weight: Of staleness.
        interval: Steps after which staleness weighs in full: the schedule's interval.
        spatial_bonus: For the best token of a cell.
        cell: Side of a cell, in tokens.
    """

    importance: Scores = ChangeScores()
    staleness_weight: float = 0.25
    interval: int = 5
    spatial_bonus: float = 0.0
    cell: int = 2

    def __post_init__(self) -> None:
        part("importance", self.importance, "of")
        number("staleness_weight", self.staleness_weight)
        number("spatial_bonus", self.spatial_bonus)
        integer("interval", self.interval, 1)
        integer("cell", self.cell, 1)

    @property
    def reads_change(self) -> bool:
        return reads_change(self.importance)

    @property
    def num_clusters(self) -> int:
        return num_clusters(self.importance)

    def of(self, signals: Signals, seed: Tensor) -> Tensor:
        rate = self.staleness_weight / self.interval
        scores = self.importance.of(signals, seed) + rate * signals.staleness
        if not self.spatial_bonus:
            return scores
        S, N = scores.shape
        ids, count = squares(signals.grid, self.cell, scores.device)
        best = ops.select_nearest(ids.expand(S, -1), -scores.float(), count).long()
        bonus = scores.new_zeros(S, 1 + N).scatter(1, best + 1, self.spatial_bonus)
        return scores + bonus[:, 1:]  # the first is for a cell without a best token, -1


@dataclass(frozen=True, kw_only=True)
class CATScores:
    """Change and staleness, spread evenly over clusters of tokens (CAT Pruning, arXiv 2502.00433).

    Tokens are ranked within their cluster, and of every cluster the same share is computed: the
    scores are minus ``(rank + 1/2) / size``, of which the highest R are each cluster's due by
    Webster's method. CAT Pruning takes the change of the model's output where this takes that of
    the cluster source, and clusters positions where this clusters features.

    Attributes:
        importance: Scores in [0, 1] within a cluster.
        staleness_weight: Of staleness.
        interval: Steps after which staleness weighs in full: the schedule's interval.
        num_clusters: Clusters K; more than there are tokens are cut to their number.
    """

    importance: Scores = ChangeScores()
    staleness_weight: float = 0.25
    interval: int = 5
    num_clusters: int = 16

    def __post_init__(self) -> None:
        part("importance", self.importance, "of")
        number("staleness_weight", self.staleness_weight)
        integer("interval", self.interval, 1)
        integer("num_clusters", self.num_clusters, 1)

    @property
    def reads_change(self) -> bool:
        return reads_change(self.importance)

    def of(self, signals: Signals, seed: Tensor) -> Tensor:
        rate = self.staleness_weight / self.interval
        scores = self.importance.of(signals, seed) + rate * signals.staleness
        order = scores.sort(dim=1, descending=True, stable=True).indices
        ids = signals.cluster_ids.gather(1, order).long()
        clusters = torch.arange(-1, signals.num_clusters, device=ids.device)  # -1: those in none
        upto = (ids.unsqueeze(-1) == clusters).cumsum(1, dtype=torch.int32)  # [S, N, K + 1]
        index = (ids + 1).unsqueeze(-1)
        rank = upto.gather(2, index).squeeze(-1)  # from 1
        size = upto[:, -1].gather(1, ids + 1)
        return torch.zeros_like(scores).scatter(1, order, -((rank - 0.5) / size).to(scores.dtype))


def uniform(seed: Tensor, num_tokens: int, layer: int = RANDOM_TOKENS) -> Tensor:
    """Random numbers in [0, 1) of a seed [S, 2], each as likely. [S, N] float64"""
    return random_keys(seed, layer, num_tokens).double() * 2.0**-32


def reads_change(scores: Scores) -> bool:
    return bool(getattr(scores, "reads_change", True))


def num_clusters(scores: Scores) -> int:
    return int(getattr(scores, "num_clusters", 0))


def squares(grid: tuple[int, ...], cell: int, device: torch.device) -> tuple[Tensor, int]:
    """The square of every token of a grid, ``cell`` tokens wide along its last two sides.

    Returns:
        Number of the square, int32 [N], and how many there are.
    """
    ids, count = torch.zeros(1, dtype=torch.int32, device=device), 1
    for place, side in enumerate(grid):
        width = cell if place >= len(grid) - 2 else 1
        parts = math.ceil(side / width)
        along = torch.arange(side, dtype=torch.int32, device=device) // width
        ids, count = (ids.unsqueeze(-1) * parts + along).flatten(), count * parts
    return ids, count
