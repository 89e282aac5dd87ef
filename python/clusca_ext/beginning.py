"""What a branch has when its run begins, or goes on with inputs of another shape."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.branch import Branch
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import ClusterCorrector, Clusters
from clusca_ext.runs.inputs import latents_of

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
        self, branch: Branch, description: ModelDescription, args: Args, kwargs: Kwargs
    ) -> None:
        like = latents_of(description.latents(args, kwargs))
        branch.begin(self._config.schedule, like, description.shapes(args, kwargs))
        self._cluster(branch, like, args, kwargs)

    def rest(
        self, branch: Branch, description: ModelDescription, args: Args, kwargs: Kwargs
    ) -> None:
        """Go on with a run at its step: nothing is cached for these inputs."""
        like = latents_of(description.latents(args, kwargs))
        branch.go_on(like, description.shapes(args, kwargs))
        self._cluster(branch, like, args, kwargs)

    def _cluster(self, branch: Branch, like: Tensor, args: Args, kwargs: Kwargs) -> None:
        corrector = self._config.corrector
        if isinstance(corrector, ClusterCorrector):
            rows = self._rows(args, kwargs)
            branch.clusters = Clusters.of_rows(corrector, self._seeds.to(like.device), rows)
