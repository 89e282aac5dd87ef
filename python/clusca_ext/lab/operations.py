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

    def ratio(self, config: ClusCaConfig, seeds: Sequence[int] | None = None) -> float | None:
        """Operations of the full sampler over those of a cached run; None where none is seen.

        Args:
            config: What is counted.
            seeds: Other seeds than its own.
        """
        seeds = self._seeds if seeds is None else seeds
        eager = dataclasses.replace(config, cuda_graph=False)  # a replay shows no operations
        cached = self._count(eager, seeds)
        return self._count(None, seeds) / cached if cached else None

    def _count(self, config: ClusCaConfig | None, seeds: Sequence[int]) -> float:
        # The full sampler's are the same for as many samples.
        name = f"{len(seeds)}" if config is None else f"{config!r} {list(seeds)}"
        if name not in self._counts:
            with counter() as counted:
                said = self._model.draw(config, seeds).summary
            kmeans = kmeans_operations(said, len(seeds), self._model.channels) if said else 0
            self._counts[name] = float(counted.get_total_flops() + kmeans)
        return self._counts[name]
