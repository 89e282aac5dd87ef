"""Representatives of coming steps: their rows of every module, kept while full steps run.

A cached step needs what its representatives' modules forecast, and lean storage keeps no module's
outputs. So they are chosen ahead: before full step ``T_(j-O)`` for a cached step behind ``T_j``,
from the clusters of the full step before that or, until there is one, from cells of the token grid.
Each of the O + 1 full steps then leaves K rows of every module that needs them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from clusca_ext.correction import Chosen, Clusters, is_corrected
from clusca_ext.storage.constants import DeviceConstants
from clusca_ext.storage.lean.arena import Wanted
from clusca_ext.storage.lean.bases import by_slot
from clusca_ext.storage.lean.course import Course, Past, Places
from clusca_ext.storage.lean.feature import LeanFeature


class Rows:
    """The rows of one branch.

    Where full steps are known a set of representatives is one step's, and its rows sum up what that
    step's forecast takes of each full step. Else a set is an interval's, and every full step has
    rows of its own.

    Args:
        past: The run's full steps.
        features: Of the modules whose rows are kept.
        shape: Of their streams [B, N, D].
        cells: Clusters of the tokens before any are fitted. [N] int32
        num_clusters: K.
        dtype: Of the stream.
        every: Of an interval's cached steps the first has representatives, and each ``every``-th.
    """

    def __init__(
        self,
        past: Past,
        features: Sequence[LeanFeature],
        shape: tuple[int, int, int],
        cells: Tensor,
        num_clusters: int,
        dtype: torch.dtype,
        every: int = 1,
    ) -> None:
        self._past, self._features, self._dtype = past, features, dtype
        self._shape, self._cells, self.num_clusters = shape, cells, num_clusters
        self._every = every
        self._sets: dict[int, Chosen] = {}
        sets = range(len(past.full)) if isinstance(past, Course) else ()
        most = max((len(self._coming(index)) for index in sets), default=past.order + 1)
        self._places = Places(max(1, most))
        self._levels = 1 if isinstance(past, Course) else past.order + 1

    def wanted(self) -> Wanted:
        B, _, D = self._shape
        places = self._places.count * self.num_clusters
        return {
            "rows": ((len(self._features), self._levels, B, places, D), self._dtype),
            "representatives": ((B, places), torch.int32),
        }

    def place(self, memory: dict[str, Tensor]) -> None:
        self._rows, self._chosen = memory["rows"], memory["representatives"]
        self._rows.zero_()
        self._chosen.fill_(-1)
        for feature, rows in zip(self._features, self._rows, strict=True):
            feature.factors, feature.chosen = rows, self._chosen

    def begin(self, index: int, clusters: Clusters, on: DeviceConstants) -> None:
        """A full step of the run begins, by index: choose for steps that come into reach."""
        K, now = self.num_clusters, index - 1
        if isinstance(self._past, Course):
            now = self._past.full[index]
        coming = self._coming(index)
        new = set(self._places.assign(now, coming))
        clusters.forget(now)
        self._sets = {key: chosen for key, chosen in self._sets.items() if key > now}
        level = 0 if isinstance(self._past, Course) else index % self._levels
        if level or self._levels > 1:
            self._rows[:, level].zero_()
        for key in coming:
            place = slice(self._places.of[key] * K, (self._places.of[key] + 1) * K)
            if self._places.of[key] in new:
                samples = self._shape[0] // clusters.groups
                self._sets[key] = chosen = clusters.ahead(key, self._cells, samples)
                self._chosen[:, place] = chosen.tokens[0]
                if self._levels == 1:
                    self._rows[:, :, :, place].zero_()
        shares = [0.0] * self._places.count
        for key in coming:
            taken = 1.0
            if isinstance(self._past, Course):
                taken = self._past.shares(key).get(index, 0.0)
            shares[self._places.of[key]] = taken
        share = on.of(tuple(each for each in shares for _ in range(K))).view(-1, 1)
        for feature, rows in zip(self._features, self._rows, strict=True):
            feature.share, feature.target = share, rows[level]

    def at(self, step: int, on: DeviceConstants) -> tuple[Chosen, Tensor] | None:
        """What a cached step computes, and where its rows lie [B, K] int32; None: nothing."""
        if not self._is_corrected(step):
            return None
        known = isinstance(self._past, Course)
        key = step if known else self._past.index(step)
        chosen, K = self._sets[key], self.num_clusters
        weights = on.of((1.0,) if known else by_slot(self._past, step))
        for feature in self._features:
            feature.weights = weights
        tokens = chosen.tokens[0]
        place = on.indices(self._places.of[key] * K, K)
        return chosen, place.where(tokens >= 0, -1)

    def _is_corrected(self, step: int) -> bool:
        return is_corrected(step - self._past.full[self._past.index(step)], self._every)

    def _coming(self, index: int) -> list[int]:
        """Those for whom this full step leaves rows: steps or, where these are not known,
        intervals."""
        if isinstance(self._past, Course):
            return [step for step in self._past.near(index) if self._is_corrected(step)]
        return list(range(index, index + self._past.order + 1))
