"""The cache: the one stateful composition of schedule, forecaster, corrector and storage.

Two hooks on the model frame every step. The first asks the schedule; a full step then runs the
untouched model while hooks on its modules update their factors, and at its end the tokens are
clustered; on a cached step the executors stand in for the blocks. The hooks run outside compiled
code, and all that is counted is counted there.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import ClusterCorrector, Clusters
from clusca_ext.executor import BlockExecutor, Correction, ModuleExecutor
from clusca_ext.plan import ModulationPlan
from clusca_ext.runs import Runs, signature_of
from clusca_ext.schedule import Step
from clusca_ext.storage import DeviceConstants, Feature, autocast_dtype
from clusca_ext.timing import StepTimes

_KEY = "_clusca_cache"  # of a model's __dict__: no submodule, nothing of its state


class Cache:
    """The state of a cache on one model.

    Args:
        description: The model's blocks.
        config: What to do.
        runs: How runs and steps are told.
        rows: Names of the equal, contiguous groups in which batch rows pair up under guidance;
            empty: no pairs; None: the description says, at a run's first step.
        seeds: Sample seeds; None: ``config.seed`` for every row.
    """

    def __init__(
        self,
        description: ModelDescription,
        config: ClusCaConfig,
        runs: Runs,
        rows: tuple[str, ...] | None = (),
        seeds: Sequence[int] | None = None,
    ) -> None:
        self.description, self.config, self.runs = description, config, runs
        self._rows, self._seeds = rows, seeds
        corrector = config.corrector
        self.correction: Correction | None = None
        if isinstance(corrector, ClusterCorrector):
            self.correction = Correction(corrector.rule, corrector.persistent)
            self._source = description.source(corrector.source)
        self.blocks: list[BlockExecutor] = []
        self.modules: dict[tuple[int, str], ModuleExecutor] = {}
        for index, block in enumerate(description.blocks):
            executors = []
            for module in block.modules:
                feature = Feature(config.forecaster.order)
                executors.append(ModuleExecutor(module, feature, self.correction))
                self.modules[index, module.name] = executors[-1]
            copies = index == 0 or block.keeps_stream
            self.blocks.append(BlockExecutor(block, executors, copies))
        self.plan = ModulationPlan(description, self.blocks)
        self.clusters: Clusters | None = None
        self.kinds: list[str] = []  # of the run's steps: full, cached or partial
        self.tokens = 0  # N of the run
        self._source_tokens: Tensor | None = None
        self._signature: object = None
        self._last_full: int | None = None
        self._handles: list[Any] = []
        self._running = False  # between the two hooks of a step
        self._keeps_source = False  # during a full step

    # ---- on and off

    @staticmethod
    def of(model: nn.Module) -> "Cache | None":
        found = vars(model).get(_KEY)
        return found if isinstance(found, Cache) and found.description.model is model else None

    def __deepcopy__(self, memo: object) -> "Cache":
        """A copied model is not cached: the hooks it was given pass it through."""
        return self

    def install(self) -> None:
        model = self.description.model
        vars(model)[_KEY] = self
        register = self._handles.append
        before, after = torch.compiler.disable(self._before), torch.compiler.disable(self._after)
        register(model.register_forward_pre_hook(before, with_kwargs=True, prepend=True))
        register(model.register_forward_hook(after, with_kwargs=True, always_call=True))
        for block in self.blocks:
            block.install()
            for module in block.modules:
                register(module.module.register_forward_hook(module.capture))
        if self.correction is not None:
            source = self.blocks[self._source].block
            register(source.register_forward_hook(self._keep_source))

    def remove(self) -> None:
        """Restore the model; a second time does nothing."""
        model = self.description.model
        if self.of(model) is self:
            del vars(model)[_KEY]
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for block in self.blocks:
            block.remove()

    def restart(self) -> None:
        """Forget the run: the next call of the model begins a new one."""
        self.runs.restart()
        for module in self.modules.values():
            module.feature.release()
        self.plan.begin(None)
        self._signature = None
        self._source_tokens = None

    # ---- a step

    @torch.no_grad()
    def _before(self, model: nn.Module, args: Args, kwargs: Kwargs) -> None:
        if model is not self.description.model:
            return  # a copy
        if self._running:  # what broke the last step off went past its end, as KeyboardInterrupt
            self.restart()
        self._running = True
        signature = signature_of(args, kwargs)
        if signature != self._signature:
            self.restart()
            self._signature = signature
        if self.runs.is_new(args, kwargs):
            self._begin_run(args, kwargs)
        self.times.start()
        step = Step(len(self.kinds), self.runs.num_steps, self._last_full, args, kwargs)
        computed = self._computed(self._decide(step))
        for key, module in self.modules.items():
            module.computed, module.captures = key in computed, 0
            feature, clock = module.feature, module.feature.clock
            if module.computed:
                feature.rates = self._constants.of(feature.known_rates(step.index))
            else:
                assert clock.last is not None
                distance = step.index - clock.last
                weights = self.config.forecaster.weights(distance, clock.spacing)
                feature.weights = self._constants.of(weights)
        kind = "full" if len(computed) == len(self.modules) else "partial" if computed else "cached"
        for block in self.blocks:
            block.substituted = kind != "full"
        self._keeps_source = kind == "full"
        if kind != "full":
            self.plan.use(step.index, args, kwargs)
            if self.correction is not None:
                self._choose_representatives(step.index)
        self.kinds.append(kind)

    @torch.no_grad()
    def _after(self, model: nn.Module, args: Args, kwargs: Kwargs, output: Any) -> None:
        if model is not self.description.model:
            return
        self._running = self._keeps_source = False
        for block in self.blocks:
            block.substituted = False
        computed = {key: module for key, module in self.modules.items() if module.computed}
        for module in computed.values():
            module.computed = False  # whoever calls it between steps is not cached
        if output is None:  # the step raised: what it left behind is not to be used
            self.restart()
            return
        step, kind = len(self.kinds) - 1, self.kinds[-1]
        for (index, name), module in computed.items():
            if module.captures != 1:
                self.restart()
                raise ValueError(
                    f"module {name!r} of block {index} must be called once in a step that computes "
                    f"it, got {module.captures} calls"
                )
            module.feature.clock.tick(step)
        if kind == "full":
            self._last_full = step
            if self.clusters is not None:
                tokens, self._source_tokens = self._source_tokens, None
                assert tokens is not None
                self.tokens = tokens.shape[1]
                self.clusters.fit(tokens)
        self.times.stop(kind)

    def _begin_run(self, args: Args, kwargs: Kwargs) -> None:
        like = self.description.latents(args, kwargs)
        if not isinstance(like, Tensor):
            raise ValueError(f"latents must be a tensor among the model's inputs, got {like!r}")
        device = like.device
        self._decide = self.config.schedule.start(self.runs.num_steps)
        self._constants = DeviceConstants(device)
        self.plan.begin(self.runs.timesteps)
        self.times = StepTimes(device)
        self.kinds = []
        self._last_full = None
        shape = self.description.stream_shape
        for module in self.modules.values():
            module.feature.restart()
            module.feature.dtype = autocast_dtype(device)
            if shape is not None:
                module.feature.expect(like, shape(args, kwargs))
        corrector = self.config.corrector
        if isinstance(corrector, ClusterCorrector):
            assert self.correction is not None
            self.correction.gamma = self._constants.of((corrector.gamma,))[0]
            rows, pairs = self._rows, self.description.pairs
            if rows is None:
                rows = () if pairs is None else pairs(args, kwargs)
            seeds = torch.tensor(self._seeds or [self.config.seed], dtype=torch.int64).to(device)
            self.clusters = Clusters.of_rows(corrector, seeds, rows)

    def _computed(self, decision: object) -> frozenset[tuple[int, str]]:
        """The modules a decision computes, and those that have never been."""
        if decision is True:
            return frozenset(self.modules)
        unseen = {key for key, module in self.modules.items() if not module.feature.clock.count}
        if decision is False:
            return frozenset(unseen)
        if not isinstance(decision, frozenset) or not decision <= set(self.modules):
            raise ValueError(
                "a schedule must decide True, False or a frozenset of (block, module) of "
                f"{len(self.blocks)} blocks and their modules, got {decision!r}"
            )
        masked = decision if len(decision | unseen) < len(self.modules) else ()
        for block, name in masked:
            if self.modules[block, name].description.call is None:
                raise ValueError(
                    f"a mask cannot compute module {name!r} of block {block}: it needs more than "
                    "the stream that cached steps keep"
                )
        return decision | unseen

    def _choose_representatives(self, step: int) -> None:
        assert self.correction is not None and self.clusters is not None
        self.correction.cluster_ids = self.clusters.row_ids
        corrected = [
            module for module in self.modules.values() if module.corrected and not module.computed
        ]
        chosen = self.clusters.select(step, len(corrected))
        for module, tokens in zip(corrected, chosen, strict=True):
            module.representatives = tokens

    def _keep_source(self, block: nn.Module, args: Args, output: Any) -> None:
        """Forward hook: what is clustered at the end of a full step."""
        if self._keeps_source:
            self._source_tokens = self.blocks[self._source].description.returned(output)
