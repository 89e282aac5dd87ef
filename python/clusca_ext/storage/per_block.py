"""Per-block storage: the last outputs of every module of every block, as the paper keeps them."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.correction import Choices, Chosen
from clusca_ext.executor import ModuleExecutor
from clusca_ext.forecast import Forecaster
from clusca_ext.installation import Installation, Key
from clusca_ext.storage.ahead import Ahead
from clusca_ext.storage.constants import DeviceConstants, autocast_dtype, lacks_memory
from clusca_ext.storage.feature import Feature, weights_of
from clusca_ext.storage.filtered import low_band_of
from clusca_ext.storage.low_band import LowBand
from clusca_ext.storage.run import Run


class PerBlock:
    """What one branch has cached of every module.

    Args:
        installed: The modules.
        forecaster: What makes weights of distances.
        make_feature: Makes what is cached of one module.

    Attributes:
        features: Of every module.
        ahead: What they forecast for coming steps, summed.
    """

    words = "per block"

    def __init__(
        self,
        installed: Installation,
        forecaster: Forecaster,
        make_feature: Callable[[], Feature],
    ) -> None:
        self._installed, self._forecaster = installed, forecaster
        self.features: Mapping[Key, Feature] = {key: make_feature() for key in installed.modules}
        self.ahead = Ahead()
        self._run: Run
        self._low_band: LowBand | None

    @property
    def modules(self) -> Mapping[Key, ModuleExecutor]:
        return self._installed.modules

    @property
    def tokens(self) -> int:
        """Of the blocks whose stream holds the fewest, where others hold text too; 0: not known."""
        return min((f.tokens for f in self.features.values() if f.tokens), default=0)

    def bytes(self) -> int:
        factors = [each.factors for each in self.features.values()]
        return self.ahead.bytes() + sum(f.nbytes for f in factors if f is not None)

    def begin(self, run: Run, on: DeviceConstants) -> None:
        """Forget the past; make room where shapes are known."""
        self._low_band = low_band_of(self._forecaster, run)
        self._run = run.without_inputs()
        self.ahead.drop()
        for (block, _), feature in self.features.items():
            feature.restart()
            feature.dtype = autocast_dtype(run.like.device)
            if run.shapes is not None and feature.factors is None:
                self._allocate(feature, run.like, run.shapes[block])

    def _allocate(self, feature: Feature, like: Tensor, shape: tuple[int, int, int]) -> None:
        try:
            feature.allocate(like, shape)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            self.release()
            size = len(self.features) * (feature.order + 1) * math.prod(shape) * like.itemsize
            raise torch.OutOfMemoryError(
                f"the cache needs about {size / 2**30:.2f} GiB for a run, which are not free: take "
                f'storage="lean", or a smaller batch, instead of storage="per_block". Nothing is '
                f"held. ({error})"
            ) from None

    def release(self) -> None:
        self.ahead.release()
        for feature in self.features.values():
            feature.release()

    def expect(
        self, step: int, computed: frozenset[Key], clusters: Choices | None, on: DeviceConstants
    ) -> None:
        """Give every module what this step needs: a place for its output, or its weights."""
        if computed:
            self.ahead.drop()
        for key in computed:
            self.features[key].expect(step, on)
        forecast = [feature for key, feature in self.features.items() if key not in computed]
        this = range(step, step + 1)
        for feature, weights in zip(
            forecast, weights_of(forecast, this, self._forecaster, on), strict=True
        ):
            feature.weights = weights.view(-1)

    def use(
        self,
        step: int,
        clusters: Choices | None,
        args: Args,
        kwargs: Kwargs,
        on: DeviceConstants,
    ) -> None:
        """A step begins that forecasts some modules."""
        run, installed = self._run, self._installed
        run.plan.use(step, args, kwargs)
        chosen: Chosen | None = None
        if clusters is not None:
            modules = installed.modules.values()
            corrected = sum(module.corrected and not module.computed for module in modules)
            chosen = clusters.of_step(step, corrected)
        installed.begin_step(chosen, run.description.by_token(args, kwargs))
        self.ahead.use(step, installed.segments, run.plan, run.decide, self._forecaster, on)

    def finish(self, step: int, computed: frozenset[Key]) -> None:
        """A step has ended that computed some modules."""
        for key in computed:
            self.features[key].clock.tick(step)
        if self._low_band is not None and step + 1 != self._run.num_steps:  # it keeps nothing
            for key in computed:
                self.features[key].share_low_band(self._low_band)

    def unseen(self) -> frozenset[Key]:
        """Modules that have never been computed."""
        return frozenset(key for key, each in self.features.items() if not each.clock.count)
