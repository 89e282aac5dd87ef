"""The tokens of highest score are computed in every MLP of a cached step, and they alone change.

A token that is computed is a cluster of its own, of which it is the representative; every other one
is in none and keeps its forecast. So executors and operators are those of clusters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clusca_ext.checks import block_name, flag, integer, number, part
from clusca_ext.correction.choices import Choices, Chosen, of_rows
from clusca_ext.correction.clusters import ClusterCorrector, Clusters
from clusca_ext.correction.scores import (
    Scores,
    Signals,
    ToCaScores,
    num_clusters,
    reads_change,
    uniform,
)

UNKNOWN_CHANGE = -3  # the layer whose keys stand for a change that is not known yet


@dataclass(frozen=True, kw_only=True)
class TokenCorrector:
    """A share of the tokens is computed in every MLP; nothing is propagated to the others.

    ToCa (arXiv 2410.05317), DuCa (2412.18911) and CAT Pruning (2502.00433) choose tokens so. All
    three compute the attention of some tokens, too, where here it is forecast for all; and ToCa
    has scores and shares of its own for every layer, where here a step has one set for all.

    Attributes:
        ratio: Share of the tokens N that is computed, in (0, 1]: ``round(ratio * N)`` of them, one
            at least.
        scores: What ranks them.
        persistent: What is computed replaces the token's cached feature, until the next full step,
            as in all three papers; else it is forgotten after its step. Orders of the forecaster
            above 0 come on top of what is cached, at its own step, too.
        share_cfg: Rows of one sample under guidance compute the same tokens, those of the
            conditional one.
        source: The block whose output is looked at in full steps: ``"last"``, another name the
            model's adapter knows, or its index.
        every: Of an interval's cached steps the first is corrected, and each ``every``-th after it;
            the others forecast all tokens (2: DuCa's alternation).
    """

    ratio: float = 0.1
    scores: Scores = ToCaScores()
    persistent: bool = False
    share_cfg: bool = True
    source: int | str = "last"
    every: int = 1

    computes = True
    gamma = 0.0  # no other token is in a cluster

    def __post_init__(self) -> None:
        number("ratio", self.ratio)
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be in (0, 1], got {self.ratio}")
        part("scores", self.scores, "of")
        flag("persistent", self.persistent)
        flag("share_cfg", self.share_cfg)
        block_name("source", self.source)
        integer("every", self.every, 1)

    @property
    def rule(self) -> str:
        """As of ``ClusterCorrector``: the form in which executors apply it."""
        return "value" if self.persistent else "delta"

    def start(
        self, seeds: Tensor, rows: tuple[str, ...], grid: Callable[[], tuple[int, ...]]
    ) -> "Tokens":
        """The choices of a run.

        Args:
            seeds: Seed of every sample, int64 [S]; or one for all, [1].
            rows: Names of groups of batch rows under guidance, one of them "cond"; empty: none.
            grid: Finds the sides of the tokens' grid, empty where they are not known.
        """
        return Tokens(self, *of_rows(seeds, rows, self.share_cfg), grid=grid())


class Tokens(Choices):
    """The tokens that the cached steps of one run compute.

    Args:
        corrector: What to do.
        seeds: As of ``Choices``.
        groups: As of ``Choices``.
        leader: As of ``Choices``.
        grid: Sides of the tokens' grid; where their product is not N, a square or else one side.
    """

    def __init__(
        self,
        corrector: TokenCorrector,
        seeds: Tensor,
        groups: int = 1,
        leader: int = 0,
        grid: tuple[int, ...] = (),
    ) -> None:
        super().__init__(seeds, groups, leader, corrector.every)
        self.corrector, self._grid = corrector, grid
        self._num_computed = 0  # R
        self._latest: tuple[int, Tensor, Tensor] | None = None  # step, its ids and tokens
        self._source: Tensor | None = None  # of the last full step [S, N, D]
        self._change: Tensor  # [S, N] float32
        self._computed_at: Tensor  # step at which each token was, [S, N] int32
        self.iterations = []
        self._clusters: Clusters | None = None
        if count := num_clusters(corrector.scores):
            self._clusters = Clusters(ClusterCorrector(num_clusters=count), seeds)
            self.iterations = self._clusters.iterations

    @property
    def num_computed(self) -> int:
        return self._num_computed

    def fit(self, tokens: Tensor) -> None:
        tokens = self.led(tokens)
        S, N, _ = tokens.shape
        self._num_computed = max(1, round(self.corrector.ratio * N))
        self._latest = None
        self._computed_at = torch.full(
            (S, N), self.last_full, dtype=torch.int32, device=tokens.device
        )
        if self._clusters is not None:
            self._clusters.fit(tokens)
            self.num_clusters = self._clusters.num_clusters
        if reads_change(self.corrector.scores):
            self._change = self._changed(tokens)
            self._source = tokens.clone()  # the model may use its memory again
        else:
            self._change = self._computed_at.new_zeros((S, N), dtype=torch.float32)

    def _changed(self, tokens: Tensor) -> Tensor:
        S, N, _ = tokens.shape
        before = self._source
        if before is None:
            return uniform(self.seed(0), N, UNKNOWN_CHANGE).float().expand(S, -1)
        moved, length = (
            torch.linalg.vector_norm(each, dim=-1, dtype=torch.float32)
            for each in (tokens - before, before)
        )
        change = (moved / length).nan_to_num(nan=0.0, posinf=0.0)
        # A maximum is the same in every order of summation: rows do not depend on their batch.
        most = change.amax(1, keepdim=True)
        relative: Tensor = (change / most).nan_to_num(nan=0.0)
        return relative

    def signals(self, step: int) -> Signals:
        """What is known of the tokens at a cached step."""
        staleness = step - self._computed_at
        S, N = staleness.shape
        ids, count = torch.full_like(staleness, -1), 0
        if self._clusters is not None:
            ids, count = self._clusters.cluster_ids, self._clusters.num_clusters
        return Signals(self._change, staleness, ids, count, _grid_of(N, self._grid))

    def choose(self, step: int, layers: int) -> Chosen:
        """What a cached step computes; asked again, by another branch of guidance, the same."""
        if self._latest is None or self._latest[0] != step:
            self._latest = step, *self._ranked(step)
        _, ids, tokens = self._latest
        return Chosen(ids, [tokens] * layers, of_members=True)

    def _ranked(self, step: int) -> tuple[Tensor, Tensor]:
        """Clusters of all tokens [B, N], those of highest score being one each [B, R]."""
        signals = self.signals(step)
        S, N = signals.staleness.shape
        scores = self.corrector.scores.of(signals, self.seed(step).expand(S, -1))
        if scores.shape != (S, N):
            raise ValueError(f"scores must be of shape {[S, N]}, got {list(scores.shape)}")
        order = scores.nan_to_num(nan=-torch.inf).sort(dim=1, descending=True, stable=True).indices
        chosen = order[:, : self._num_computed]
        own = torch.arange(self._num_computed, dtype=torch.int32, device=chosen.device)
        ids = torch.full_like(signals.staleness, -1).scatter(1, chosen, own.expand(S, -1))
        self._computed_at = self._computed_at.scatter(1, chosen, step)
        return ids.repeat(self.groups, 1), chosen.int().repeat(self.groups, 1)


def _grid_of(N: int, known: tuple[int, ...]) -> tuple[int, ...]:
    """Not every adapter knows its model's grid; most pictures are square."""
    if math.prod(known) == N and known:
        return known
    side = math.isqrt(N)
    return (side, side) if side * side == N else (N,)
