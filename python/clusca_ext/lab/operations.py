"""Operations of a whole run, counted as they are dispatched: what a cache should save."""

import dataclasses
from collections.abc import Sequence
from statistics import mean

from clusca_ext.config import ClusCaConfig
from clusca_ext.demo.flops import counter, kmeans_operations
from clusca_ext.lab.drawn import Model
from clusca_ext.summary import Summary


class Operations:
    """Counts runs of a model against its full sampler.

    Matrix products and attention of all steps are counted, so that schedules that look at data and
    masks of single modules are counted as they decide; k-means by its passes, where the model says
    what its cache did.

    Args:
        model: The model.
        seeds: What is drawn to count.
    """

    def __init__(self, model: Model, seeds: Sequence[int]) -> None:
        self._model, self._seeds = model, seeds
        self._counts: dict[str, tuple[float, Summary | None]] = {}  # a run is drawn once for it

    def ratio(
        self,
        config: ClusCaConfig,
        seeds: Sequence[int] | None = None,
        full: float | None = None,
    ) -> float | None:
        """Operations of the full sampler over those of a cached run; None where none is seen.

        Args:
            config: What is counted.
            seeds: Other seeds than its own.
            full: Full steps of a run, the mean of all samples that were drawn: where a schedule
                looks at data, those that are counted need not be like the others.
        """
        seeds = self._seeds if seeds is None else seeds
        eager = dataclasses.replace(config, cuda_graph=False)  # a replay shows no operations
        cached, said = self._count(eager, seeds)
        if not cached:
            return None
        whole, _ = self._count(None, seeds)
        if full is not None and said is not None and hasattr(config.schedule, "signal"):
            cached = _with_full_steps(cached, whole, said, full)
        return whole / cached

    def _count(
        self, config: ClusCaConfig | None, seeds: Sequence[int]
    ) -> tuple[float, Summary | None]:
        # The full sampler's are the same for as many samples.
        name = f"{len(seeds)}" if config is None else f"{config!r} {list(seeds)}"
        if name not in self._counts:
            with counter() as counted:
                said = self._model.draw(config, seeds).summary
            kmeans = kmeans_operations(said, len(seeds), self._model.channels) if said else 0
            self._counts[name] = float(counted.get_total_flops() + kmeans), said
        return self._counts[name]


def _with_full_steps(cached: float, whole: float, said: Summary, full: float) -> float:
    """Operations of a run as was counted, if it had taken so many full steps.

    Args:
        cached: Those counted.
        whole: The full sampler's.
        said: What the cache did where they were counted.
        full: Full steps.
    """
    counted = mean(said.full_by_sample or (said.full,))
    others = said.steps - counted
    if not others:
        return cached
    of_full = whole / said.steps
    of_other = (cached - counted * of_full) / others
    return full * of_full + (said.steps - full) * of_other
