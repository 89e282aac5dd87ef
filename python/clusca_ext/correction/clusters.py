"""Tokens are clustered, one of each cluster is computed, and its cluster learns from it."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.checks import block_name, flag, integer, number, part
from clusca_ext.correction.choices import Choices, Chosen, of_rows
from clusca_ext.correction.selection import RandomPerStep, Selection
from clusca_ext.random_keys import random_keys

MAX_ITERS = 1_000_000  # as kmeans_fit, whose workspace grows with it
COLD_START = -1  # the layer whose keys draw the first centroids; real layers count from 0


@dataclass(frozen=True, kw_only=True)
class ClusterCorrector:
    """One representative a cluster is computed in every MLP, and its cluster is corrected by it.

    ClusCa's method (arXiv 2509.10312), of which ``docs/method.md`` has the equations.

    Attributes:
        num_clusters: Clusters K; more than there are tokens are cut to their number.
        gamma: Propagation ratio in [0, 1].
        rule: ``"delta"`` (ours: the cluster moves as its representative does) or ``"value"`` (the
            paper's: the cluster moves towards its representative's value).
        persistent: The paper's form of the value rule: corrections are written into the cached
            features and accumulate until the next full step.
        metric: ``"l2"`` or ``"l1"``, the distance of k-means.
        max_iters: Iterations of k-means at most, up to a million.
        rtol: It stops where no centroid's coordinate moves by more than this share of the largest.
        share_cfg: Rows of one sample under guidance share clusters and representatives, taken from
            the conditional one.
        source: The block after which tokens are clustered: ``"last"``, another name the model's
            adapter knows, or its index.
        selection: How representatives are chosen.
        every: Of an interval's cached steps the first is corrected, and each ``every``-th after it;
            the others forecast all tokens (2: DuCa's alternation, arXiv 2412.18911).
    """

    num_clusters: int = 16
    gamma: float = 0.1
    rule: str = "delta"
    persistent: bool = False
    metric: str = "l2"
    max_iters: int = 10
    rtol: float = 1e-4
    share_cfg: bool = True
    source: int | str = "last"
    selection: Selection = RandomPerStep()
    every: int = 1

    computes = True

    def __post_init__(self) -> None:
        integer("num_clusters", self.num_clusters, 1)
        integer("max_iters", self.max_iters, 0, MAX_ITERS)
        integer("every", self.every, 1)
        number("gamma", self.gamma)
        number("rtol", self.rtol)
        flag("persistent", self.persistent)
        flag("share_cfg", self.share_cfg)
        part("selection", self.selection, "select")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma must be in [0, 1], got {self.gamma}")
        for name, value, allowed in (
            ("rule", self.rule, ("delta", "value")),
            ("metric", self.metric, ("l2", "l1")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}")
        if self.persistent and self.rule != "value":
            raise ValueError(f'persistent=True needs rule="value", got rule={self.rule!r}')
        if not self.rtol >= 0:
            raise ValueError(f"rtol must be at least 0, got {self.rtol}")
        block_name("source", self.source)

    def start(
        self, seeds: Tensor, rows: tuple[str, ...], grid: Callable[[], tuple[int, ...]]
    ) -> "Clusters":
        """The clusters of a run.

        Args:
            seeds: Seed of every sample, int64 [S]; or one for all, [1].
            rows: Names of groups of batch rows under guidance, one of them "cond"; empty: none.
            grid: Finds the sides of the tokens' grid; not asked here.
        """
        return Clusters(self, *of_rows(seeds, rows, self.share_cfg))


class Clusters(Choices):
    """The clusters of one run: those of S samples, spread over their B batch rows.

    Args:
        corrector: What to do.
        seeds: Seed of every sample, int64 [S]; or one for all, [1].
        groups: Equal, contiguous groups of batch rows in which the samples repeat (guidance).
        leader: The group whose tokens are clustered.
    """

    def __init__(
        self, corrector: ClusterCorrector, seeds: Tensor, groups: int = 1, leader: int = 0
    ) -> None:
        super().__init__(seeds, groups, leader, corrector.every)
        self.corrector = corrector
        self.centroids: Tensor | None = None  # [S, K, D] float32
        self.cluster_ids: Tensor  # [S, N] int32, -1 where a token is in none
        self.distances: Tensor  # [S, N] float32
        self.row_ids: Tensor  # [B, N] int32: cluster_ids, repeated for every group
        self.iterations = []
        self._ahead: dict[int, Chosen] = {}

    @property
    def of_members(self) -> bool:
        """Whether every representative is known to be a member of its cluster."""
        return bool(getattr(self.corrector.selection, "of_members", False))

    def fit(self, tokens: Tensor) -> None:
        """Cluster the tokens of a full step, from the centroids of the one before. [B, N, D]"""
        tokens = self.led(tokens)
        if self.centroids is None:
            self.centroids = self._cold_start(tokens)
        how = self.corrector
        ids, self.distances, self.centroids, _, iterations = ops.kmeans_fit(
            tokens, self.centroids, how.metric, how.max_iters, how.rtol
        )
        # A token that is not finite is in no cluster: as representative it would spoil one.
        self._label(ids.where(self.distances < torch.inf, -1), self.centroids.shape[1])
        self.iterations.append(iterations)

    def _label(self, cluster_ids: Tensor, num_clusters: int) -> None:
        self.cluster_ids, self.num_clusters = cluster_ids, num_clusters
        self.row_ids = cluster_ids.repeat(self.groups, 1)

    @property
    def num_computed(self) -> int:
        return self.num_clusters if self.iterations else 0

    def choose(self, step: int, layers: int) -> Chosen:
        return Chosen(self.row_ids, self.select(step, layers), self.of_members)

    def ahead(self, key: int, cells: Tensor, samples: int) -> Chosen:
        """What coming steps compute, chosen from the clusters there are; asked again, the same.

        Args:
            key: Of those steps; what random choices depend on beside the seed.
            cells: Clusters of the tokens for the time before any have been fitted. [N] int32
            samples: Samples S.
        """
        if key not in self._ahead:
            if not self.num_clusters:
                self.distances = cells.new_zeros(samples, len(cells), dtype=torch.float32)
                count = min(self.corrector.num_clusters, len(cells))
                self._label(cells.expand(samples, -1), count)
            self._ahead[key] = self.choose(key, 1)
        return self._ahead[key]

    def forget(self, key: int) -> None:
        """What was chosen for steps up to this one is not asked for again."""
        self._ahead = {each: chosen for each, chosen in self._ahead.items() if each > key}

    def select(self, step: int, layers: int) -> list[Tensor]:
        """Representatives of a cached step, ``[B, K]`` int32 for each layer."""
        seed = self.seed(step)
        seed = seed if len(seed) == len(self.cluster_ids) else seed[0]
        chosen = list(self.corrector.selection.select(self, seed, layers))
        if len(chosen) != layers:
            raise ValueError(
                f"selection must choose tokens for each of {layers} layers, got {len(chosen)}"
            )
        # Most selections give all layers the same tensor: repeat it once.
        repeated = {id(tokens): tokens.repeat(self.groups, 1) for tokens in chosen}
        return [repeated[id(tokens)] for tokens in chosen]

    def _cold_start(self, tokens: Tensor) -> Tensor:
        """K distinct tokens of every sample, drawn with its seed."""
        samples, num_tokens, channels = tokens.shape
        num_clusters = min(self.corrector.num_clusters, num_tokens)
        if num_clusters < self.corrector.num_clusters:
            warnings.warn(
                f"num_clusters is {self.corrector.num_clusters} but there are {num_tokens} tokens: "
                f"using {num_clusters} clusters",
                stacklevel=2,
            )
        keys = random_keys(self.seed(0), COLD_START, num_tokens)
        drawn = keys.topk(num_clusters, dim=1).indices.expand(samples, -1)
        return tokens.gather(1, drawn.unsqueeze(-1).expand(-1, -1, channels)).float()
