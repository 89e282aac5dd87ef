"""Which tokens of a cached step are computed: one of each cluster, by one of these rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from clusca_ext import ops
from clusca_ext.checks import integers

MAX_TOKEN = 2**31 - 1  # tokens are int32


class Clusters(Protocol):
    """What is known of the clusters of S samples.

    Attributes:
        cluster_ids: Cluster of every token, -1 where it is in none. [S, N] int32
        distances: To its centroid. [S, N] float32
        num_clusters: K.
    """

    cluster_ids: Tensor
    distances: Tensor

    @property
    def num_clusters(self) -> int: ...


class Selection(Protocol):
    """How the representatives of a cached step are chosen.

    One that only ever chooses a member of each cluster may say so by an attribute ``of_members``
    that is True: cached steps can then leave all other tokens to one pass at the end of a segment.
    """

    def select(self, clusters: Clusters, seed: Tensor, layers: int) -> Sequence[Tensor]:
        """One ``[S, K]`` int32 tensor of tokens for each of ``layers`` layers.

        Args:
            clusters: ``cluster_ids`` [S, N], ``distances`` [S, N] and ``num_clusters``, of S
                samples.
            seed: (sample seed, step of the run), for all samples or each. int64 [2] or [S, 2]
            layers: Number of modules that compute representatives.
        """


@dataclass(frozen=True, kw_only=True)
class RandomPerStep:
    """A random member of every cluster, the same for all layers of a step."""

    of_members: ClassVar[bool] = True

    def select(self, clusters: Clusters, seed: Tensor, layers: int) -> Sequence[Tensor]:
        chosen = ops.select_representatives(clusters.cluster_ids, clusters.num_clusters, seed)
        return [chosen] * layers


@dataclass(frozen=True, kw_only=True)
class RandomPerLayer:
    """A random member of every cluster, drawn anew in every layer: the paper's choice."""

    of_members: ClassVar[bool] = True

    def select(self, clusters: Clusters, seed: Tensor, layers: int) -> Sequence[Tensor]:
        ids, num_clusters = clusters.cluster_ids, clusters.num_clusters
        return [
            ops.select_representatives(ids, num_clusters, seed, layer) for layer in range(layers)
        ]


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The member closest to the centroid, the same until the next clustering."""

    of_members: ClassVar[bool] = True

    def select(self, clusters: Clusters, seed: Tensor, layers: int) -> Sequence[Tensor]:
        nearest = ops.select_nearest(
            clusters.cluster_ids, clusters.distances, clusters.num_clusters
        )
        return [nearest] * layers


@dataclass(frozen=True, kw_only=True)
class GivenTokens:
    """The tokens given, cluster by cluster, for every sample, layer and step.

    Attributes:
        tokens: One token a cluster; -1 leaves a cluster without a representative.
    """

    tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", integers("tokens", self.tokens, -1, MAX_TOKEN))

    def select(self, clusters: Clusters, seed: Tensor, layers: int) -> Sequence[Tensor]:
        if len(self.tokens) != clusters.num_clusters:
            raise ValueError(
                f"tokens must name one token for each of {clusters.num_clusters} clusters, "
                f"got {len(self.tokens)}"
            )
        N = clusters.cluster_ids.shape[1]
        if max(self.tokens) >= N:
            raise ValueError(f"tokens must be of {N} tokens, -1 to {N - 1}, got {max(self.tokens)}")
        chosen = clusters.cluster_ids.new_tensor(self.tokens)
        return [chosen.expand(len(clusters.cluster_ids), -1)] * layers
