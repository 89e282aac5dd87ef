"""What a branch has when its run begins, or goes on with inputs of another shape."""

from collections.abc import Callable, Sequence

import torch

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.branch import Branch
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import NoCorrection
from clusca_ext.executor import Correction
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
        correction: What the corrector gives the modules; None: nothing.
    """

    def __init__(
        self,
        config: ClusCaConfig,
        rows: Rows,
        seeds: Sequence[int] | None,
        correction: Correction | None,
    ) -> None:
        self._config, self._rows, self._correction = config, rows, correction
        self._seeds = torch.tensor(seeds or [config.seed], dtype=torch.int64, device="cpu")

    def begin(
        self,
        branch: Branch,
        description: ModelDescription,
        args: Args,
        kwargs: Kwargs,
        first: bool,
    ) -> DeviceConstants:
        """Nothing is cached for these inputs: begin a run, or go on with one at its step.

        Args:
            branch: Whose.
            description: The model's.
            args: Its positional inputs.
            kwargs: Its keyword inputs.
            first: Whether the run begins.
        """
        like = latents_of(description.latents(args, kwargs))
        on = DeviceConstants(like.device)
        if first:
            branch.begin(self._config.schedule)
        else:
            branch.storage.release()
        branch.make_room(description, like, description.shapes(args, kwargs), args, kwargs, on)
        corrector = self._config.corrector
        if self._correction is not None and not isinstance(corrector, NoCorrection):
            self._correction.gamma = on.of((corrector.gamma,))[0]
            rows, seeds = self._rows(args, kwargs), self._seeds
            if branch.sample is not None and len(seeds) > 1:
                seeds = seeds[branch.sample : branch.sample + 1]
            branch.clusters = corrector.start(
                seeds.to(like.device), rows, lambda: description.sides(args, kwargs)
            )
        return on
