"""Where clusters and representatives lie, looked at after every step of a cached run."""

import math

import numpy as np
from numpy.typing import NDArray

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.cache import Cache
from clusca_ext.correction import Clusters, NoCorrection
from clusca_ext.recording import limits
from clusca_ext.recording.packing import pack
from clusca_ext.recording.recording import MapOfStep, Maps

Tokens = list[NDArray[np.int64]]  # of each sample


class MapLog:
    """Maps of one run.

    Args:
        samples: How many of the batch are kept, the first ones.

    Attributes:
        why: Why there are no maps, where there are none.
        cut: Whether there were more than are kept.
    """

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self.forget()

    def forget(self) -> None:
        """A new run has begun."""
        self.why, self.cut = "no step computed representatives", False
        self._grid: tuple[int, ...] = ()
        self._labels: dict[str, int] = {}
        self._steps: list[MapOfStep] = []

    def look(self, cache: Cache, step: int, kind: str, args: Args, kwargs: Kwargs) -> None:
        """A step of the branch whose tokens are clustered has ended."""
        if isinstance(cache.config.corrector, NoCorrection):
            self.why = "the configuration has no corrector: all tokens are forecast"
            return
        if len(self._steps) == limits.MAPS:
            self.cut = True
            return
        labels = self._labels_at(cache, kind)
        tokens = self._representatives_at(cache, kind)
        seen = labels or tokens
        if not seen:
            return
        if labels and not self._grid:
            self._find_grid(cache, len(labels[0]), args, kwargs)
        if not self._grid or (labels and len(labels[0]) != math.prod(self._grid)):
            return
        self._steps.append(
            MapOfStep(
                step,
                tuple(self._place(each) for each in labels) or (-1,) * len(seen),
                tuple(pack(self._in_frame(each)) for each in tokens),
            )
        )

    def maps(self) -> Maps | None:
        if not self._steps:
            return None
        frames, height, width = self._grid
        return Maps((height, width), frames // 2, frames, tuple(self._labels), tuple(self._steps))

    def _labels_at(self, cache: Cache, kind: str) -> Tokens:
        """Clusters that a full step found, or that a corrected one used."""
        clusters = cache.clusters
        if not isinstance(clusters, Clusters) or not clusters.num_clusters:
            return []
        if kind == "full":
            if clusters.last_full != len(cache.branch.kinds) - 1:
                return []  # a run's last one, which is not clustered
            ids = clusters.cluster_ids  # of samples
        elif cache.correction is not None and cache.correction.acts:
            return self._of_samples(cache, cache.correction.cluster_ids)
        else:
            return []
        return [row.cpu().numpy().astype(np.int64) for row in ids[: self._samples]]

    def _representatives_at(self, cache: Cache, kind: str) -> Tokens:
        """Those of the first module that computes some; by layer they may differ."""
        correction = cache.correction
        if kind == "full" or correction is None or not correction.acts:
            return []
        corrected = [module for module in cache.modules.values() if module.corrected]
        if not corrected or not hasattr(corrected[0], "representatives"):
            return []
        first = corrected[0].representatives
        if kind == "partial" and any(m.representatives is not first for m in corrected):
            return []  # a module that was computed whole still has those of a step before
        return self._of_samples(cache, first)

    def _of_samples(self, cache: Cache, rows: object) -> Tokens:
        """The first samples of batch rows [B, N or K], those of the group that leads."""
        clusters = cache.clusters
        assert clusters is not None
        batch: list[NDArray[np.int64]] = [row.cpu().numpy().astype(np.int64) for row in rows]  # type: ignore[attr-defined]
        samples = len(batch) // clusters.groups
        first = clusters.leader * samples
        return batch[first : first + min(samples, self._samples)]

    def _find_grid(self, cache: Cache, count: int, args: Args, kwargs: Kwargs) -> None:
        """Frames, height and width; a square where the model's grid is not known."""
        sides = cache.description.grid_of(count, args, kwargs)
        root = math.isqrt(count)
        if len(sides) == 1 and root * root == count:
            sides = (root, root)
        if len(sides) not in (2, 3):
            self.why = f"the grid of the model's {count} tokens is not known"
        elif math.prod(sides[-2:]) > limits.TOKENS:
            self.why = f"a map of {math.prod(sides[-2:])} tokens is over {limits.TOKENS}"
        else:
            self._grid = (1, *sides) if len(sides) == 2 else sides

    def _frame(self) -> slice:
        """The tokens of the frame that is kept, the middle one."""
        frames, height, width = self._grid
        return slice(frames // 2 * height * width, (frames // 2 + 1) * height * width)

    def _place(self, labels: NDArray[np.int64]) -> int:
        """Of these labels among those kept: a map stays the same until it is fitted again."""
        return self._labels.setdefault(pack(labels[self._frame()]), len(self._labels))

    def _in_frame(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        frame = self._frame()
        found: NDArray[np.int64] = (
            tokens[(tokens >= frame.start) & (tokens < frame.stop)] - frame.start
        )
        return found
