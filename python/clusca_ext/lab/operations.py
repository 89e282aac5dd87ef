"""Operations of a whole run, counted as they are dispatched: what a cache should save."""

import dataclasses
from collections.abc import Sequence

from clusca_ext.config import ClusCaConfig
from clusca_ext.demo.flops import counter, kmeans_operations
from clusca_ext.lab.drawn import Model


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
        self._counts: dict[str, float] = {}  # a run is drawn once for it

    def ratio(self, config: ClusCaConfig) -> float | None:
        """Operations of the full sampler over those of a cached run; None where none is seen."""
        cached = self._count(dataclasses.replace(config, cuda_graph=False))  # a replay shows none
        return self._count(None) / cached if cached else None

    def _count(self, config: ClusCaConfig | None) -> float:
        name = "" if config is None else repr(config)
        if name not in self._counts:
            with counter() as counted:
                said = self._model.draw(config, self._seeds).summary
            kmeans = kmeans_operations(said, len(self._seeds), self._model.channels) if said else 0
            self._counts[name] = float(counted.get_total_flops() + kmeans)
        return self._counts[name]
