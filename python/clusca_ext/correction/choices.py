"""What the cached steps of one run compute: the state that a corrector starts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clusca_ext.checks import seeds_of_samples


@dataclass(frozen=True)
class Chosen:
    """Which tokens a cached step computes.

    Attributes:
        cluster_ids: Cluster of every token; -1 where it is in none. [B, N] int32
        tokens: Representatives, for every module that computes some. Each [B, K] int32
        of_members: Whether each is known to be a member of its cluster.
    """

    cluster_ids: Tensor
    tokens: Sequence[Tensor]
    of_members: bool

    @property
    def one(self) -> bool:
        """Whether all modules compute the same tokens."""
        return all(tokens is self.tokens[0] for tokens in self.tokens)


class Choices(ABC):
    """The choices of one run: those of S samples, spread over their B batch rows.

    Args:
        seeds: Seed of every sample, int64 [S]; or one for all, [1].
        groups: Equal, contiguous groups of batch rows in which the samples repeat (guidance).
        leader: The group whose tokens decide.
        every: Of an interval's cached steps the first is corrected, and each ``every``-th after it.

    Attributes:
        iterations: Those of k-means at every full step, int32 [S]; none where nothing is clustered.
        num_clusters: K, once there are labels; 0 where nothing is clustered.
    """

    iterations: list[Tensor]
    num_clusters: int = 0

    def __init__(self, seeds: Tensor, groups: int = 1, leader: int = 0, every: int = 1) -> None:
        self.groups, self.leader, self._every = groups, leader, every
        self._seeds = seeds
        self.last_full = -1  # step

    @abstractmethod
    def fit(self, tokens: Tensor) -> None:
        """Look at the tokens of a full step. [B, N, D]"""

    @abstractmethod
    def choose(self, step: int, layers: int) -> Chosen:
        """What a cached step computes in as many modules."""

    @property
    @abstractmethod
    def num_computed(self) -> int:
        """Tokens of a sample that a module of a corrected step computes; 0: not known yet."""

    def follow(self, step: int, tokens: Tensor) -> None:
        """A full step has ended, of these tokens. [B, N, D]"""
        self.last_full = step
        self.fit(tokens)

    def of_step(self, step: int, layers: int) -> Chosen | None:
        """What a cached step computes in as many modules; None: all of it is forecast."""
        if not is_corrected(step - self.last_full, self._every):
            return None
        return self.choose(step, layers)

    def led(self, tokens: Tensor) -> Tensor:
        """Those of the rows that decide, of tokens [B, N, D]. [S, N, D]"""
        samples = len(tokens) // self.groups
        if len(tokens) % self.groups:
            raise ValueError(f"cfg_rows names {self.groups} equal groups, got {len(tokens)} rows")
        seeds_of_samples(len(self._seeds), samples)
        tokens = tokens[self.leader * samples : (self.leader + 1) * samples]
        return tokens if tokens.stride(-1) == 1 else tokens.contiguous()

    def seed(self, step: int) -> Tensor:
        """What the random choices of a step depend on, int64 [S, 2] or [1, 2]."""
        return torch.stack([self._seeds, torch.full_like(self._seeds, step)], dim=1)


def is_corrected(distance: int, every: int) -> bool:
    """Whether a cached step is, so many steps behind the last full one (DuCa, arXiv 2412.18911)."""
    return (distance - 1) % every == 0


def of_rows(seeds: Tensor, rows: tuple[str, ...], share_cfg: bool) -> tuple[Tensor, int, int]:
    """Seeds, groups and leader for batch rows in named groups under guidance.

    Args:
        seeds: As of ``Choices``.
        rows: The groups' names, one of them "cond"; empty: no groups.
        share_cfg: Whether the rows of a sample share choices.
    """
    if rows and share_cfg:
        return seeds, len(rows), rows.index("cond")
    return (seeds.repeat(len(rows)) if rows and len(seeds) > 1 else seeds), 1, 0
