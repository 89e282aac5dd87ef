"""What a branch has when its run begins, or goes on with inputs of another shape."""

from collections.abc import Callable, Sequence

import torch

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.branch import Branch
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import ClusterCorrector, Clusters
from clusca_ext.runs.inputs import latents_of
from clusca_ext.storage import DeviceConstants

Rows = Callable[[Args, Kwargs], tuple[str, ...]]


class Beginning:
    """Begins runs.

    Args:
        config: What to do.
        rows: Says at a run's first step how batch rows pair up under guidance: the names of equal,
            contiguous groups; empty: no pairs.
        seeds: Sample seeds; None: ``config.seed`` for every row.
    """

    def __init__(self, config: ClusCaConfig, rows: Rows, seeds: Sequence[int] | None) -> None:
        self._config, self._rows = config, rows
        self._seeds = torch.tensor(seeds or [config.seed], dtype=torch.int64)

    def run(
        self,
        branch: Branch,
        description: ModelDescription,
        args: Args,
        kwargs: Kwargs,
        on: DeviceConstants,
    ) -> None:
        branch.begin(self._config.schedule)
        self._make_room(branch, description, args, kwargs, on)

    def rest(
        self,
        branch: Branch,
        description: ModelDescription,
        args: Args,
        kwargs: Kwargs,
        on: DeviceConstants,
    ) -> None:
        """Go on with a run at its step: nothing is cached for these inputs."""
        branch.storage.release()
        self._make_room(branch, description, args, kwargs, on)

    def _make_room(
        self,
        branch: Branch,
        description: ModelDescription,
        args: Args,
        kwargs: Kwargs,
        on: DeviceConstants,
    ) -> None:
        like = latents_of(description.latents(args, kwargs))
        branch.make_room(description, like, description.shapes(args, kwargs), args, kwargs, on)
        corrector = self._config.corrector
        if isinstance(corrector, ClusterCorrector):
            rows = self._rows(args, kwargs)
            branch.clusters = Clusters.of_rows(corrector, self._seeds.to(like.device), rows)
