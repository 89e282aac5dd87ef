"""The cache: the one stateful composition of schedule, forecaster, corrector and storage.

Two hooks on the model frame every step. The first asks the schedule; a full step then runs the
untouched model while hooks on its modules keep what these return, and at its end the tokens are
clustered; on a cached step the executors stand in for the blocks. The hooks run outside compiled
code, and all that is counted is counted there.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.beginning import Beginning, Rows
from clusca_ext.branch import Branch
from clusca_ext.branches import Branches
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import ClusterCorrector, Clusters
from clusca_ext.executor import BlockExecutor, Correction, ModuleExecutor
from clusca_ext.graphs.forward import Forward
from clusca_ext.graphs.steps import CachedSteps
from clusca_ext.installation import Installation, Key, require_called_once
from clusca_ext.plan import ModulationPlan
from clusca_ext.runs.callers import Caller
from clusca_ext.runs.counting import Runs
from clusca_ext.runs.inputs import latents_of, signature_of
from clusca_ext.runs.pipelines import Pipelines
from clusca_ext.storage import DeviceConstants
from clusca_ext.storage.choice import storage_of
from clusca_ext.timing import StepTimes

_KEY = "_clusca_cache"  # of a model's __dict__: no submodule, nothing of its state


class Cache:
    """The state of a cache on one model.

    Args:
        describe: Describes the model's blocks; asked again at every run.
        config: What to do.
        runs: Makes what tells runs and steps, for each branch.
        caller: Tells branches.
        rows: Says how batch rows pair up under guidance.
        seeds: Sample seeds; None: ``config.seed`` for every row.
    """

    times: StepTimes
    _constants: DeviceConstants

    def __init__(
        self,
        describe: Callable[[], ModelDescription],
        config: ClusCaConfig,
        runs: Callable[[], Runs],
        caller: Caller,
        rows: Rows = lambda args, kwargs: (),
        seeds: Sequence[int] | None = None,
    ) -> None:
        self._describe, self.config = describe, config
        self.description = description = describe()
        self._make_runs, self._caller = runs, caller
        self._beginning = Beginning(config, rows, seeds)
        corrector = config.corrector
        self.correction: Correction | None = None
        source = None
        if isinstance(corrector, ClusterCorrector):
            self.correction = Correction(corrector.rule, corrector.persistent)
            source = description.source(corrector.source)
        of, alone = self.correction, config.storage != "per_block"
        self._install_on = partial(Installation, correction=of, source=source, alone=alone)
        self._installed = self._install_on(description)
        self._branches = Branches(self._make_branch, caller)
        self.graphs = CachedSteps(config.cuda_graph)
        self._handles: list[Any] = []
        self._running = False  # between a step's hooks

    @property
    def blocks(self) -> list[BlockExecutor]:
        return self._installed.blocks

    @property
    def modules(self) -> dict[Key, ModuleExecutor]:
        return self._installed.modules

    @property
    def pipelines(self) -> Pipelines | None:
        """Those that share this cache; None: it is a bare model's."""
        return self._caller.pipelines

    @property
    def branches(self) -> dict[str, Branch]:
        return self._branches.by_name

    @property
    def branch(self) -> Branch:
        return self._branches.calling

    @property
    def leader(self) -> Branch:
        return self._branches.leader

    @property
    def clusters(self) -> Clusters | None:
        """The clusters of the branch that called last: the sample's, or its own."""
        corrector = self.config.corrector
        shared = isinstance(corrector, ClusterCorrector) and corrector.share_cfg
        return (self.leader if shared else self.branch).clusters

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
        self._caller.install()
        register = self._handles.append
        before, after = torch.compiler.disable(self._before), torch.compiler.disable(self._after)
        register(model.register_forward_pre_hook(before, with_kwargs=True, prepend=True))
        register(model.register_forward_hook(after, with_kwargs=True, always_call=True))
        self._installed.install()
        self._forward = Forward(model, self.graphs)
        self._forward.install()

    def remove(self) -> None:
        """Restore the model; a second time does nothing."""
        model = self.description.model
        if self.of(model) is self:
            del vars(model)[_KEY]
            self._caller.remove()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._installed.remove()
        self._forward.remove()
        self.graphs.release()
        for branch in self._branches.every:
            branch.storage.release()

    def restart(self) -> None:
        """Forget the run: the next call of the model begins a new one."""
        self._branches.restart()
        self._installed.take_source()
        self.graphs.release()

    def _make_branch(self) -> Branch:
        plan = ModulationPlan(self.description, self.blocks)
        return Branch(self._make_runs(), plan, storage_of(self.config, self._installed))

    # ---- a step

    @torch.no_grad()
    def _before(self, model: nn.Module, args: Args, kwargs: Kwargs) -> None:
        if not self._is_step(model, args, kwargs):
            return
        if self._running:  # what broke the last step off went past its end, as KeyboardInterrupt
            self.restart()
        self._running = True
        branch = self._branches.call(args, kwargs)
        signature = signature_of(args, kwargs)
        changed = signature != branch.signature
        if changed and branch.signature is not None:
            self.graphs.release()  # they read what is given back here
        if changed and (branch.signature is None or not branch.runs.goes_on(args, kwargs)):
            branch.restart()
        branch.signature = signature
        if branch.runs.is_new(args, kwargs):
            self._renew()
            self.graphs.begin_run()
            self._prepare(args, kwargs)
            self._beginning.run(branch, self.description, args, kwargs, self._constants)
            if branch is self.leader:
                self.times = StepTimes(self._constants.device)
        elif changed:  # as where guidance, and its half of the batch, ends before the run
            self._prepare(args, kwargs)
            self._beginning.rest(branch, self.description, args, kwargs, self._constants)
        self.times.start()
        computed, step = branch.computed(args, kwargs), len(branch.kinds)
        branch.expect(step, computed, self.clusters, self._constants)
        kind = "full" if len(computed) == len(self.modules) else "partial" if computed else "cached"
        self._installed.let(full=kind == "full")
        if kind == "full":
            branch.plan.look(step, args, kwargs)
        else:
            branch.storage.use(step, self.clusters, args, kwargs, self._constants)
            self.graphs.expect(self._installed, kind, self._constants.device)
        branch.kinds.append(kind)

    @torch.no_grad()
    def _after(self, model: nn.Module, args: Args, kwargs: Kwargs, output: Any) -> None:
        if not self._is_step(model, args, kwargs):
            return
        self._running = False
        self.graphs.finish()
        computed = self._installed.end_step()
        if output is None:  # the step raised: what it left behind is not to be used
            self.restart()
            return
        branch = self.branch
        step, kind = len(branch.kinds) - 1, branch.kinds[-1]
        try:
            require_called_once(computed)
        except ValueError:
            self.restart()
            raise
        branch.storage.finish(step, frozenset(computed))
        if kind == "full":
            branch.last_full = step
            tokens = self._installed.take_source()
            if tokens is not None:
                branch.cluster(step, tokens, self.clusters)
        self.times.stop(kind)

    def _is_step(self, model: nn.Module, args: Args, kwargs: Kwargs) -> bool:
        """Not a copy's call, nor one without some of the blocks: these run as they are."""
        here = self.description
        return model is here.model and not here.leaves_out(args, kwargs)

    def _renew(self) -> None:
        """Where modules were exchanged since the last run, as LoRAs do, the new ones are cached."""
        description = self._describe()
        if self._installed.fits(description):
            return
        self._installed.remove()
        self.graphs.release()
        self.description = description
        self._installed = self._install_on(description)
        self._installed.install()
        for branch in self._branches.every:
            branch.storage.release()
            plan = ModulationPlan(description, self.blocks)
            branch.exchange(plan, storage_of(self.config, self._installed))
        self.branch.activate()

    def _prepare(self, args: Args, kwargs: Kwargs) -> None:
        device = latents_of(self.description.latents(args, kwargs)).device
        self._constants = DeviceConstants(device)
        corrector = self.config.corrector
        if self.correction is not None and isinstance(corrector, ClusterCorrector):
            self.correction.gamma = self._constants.of((corrector.gamma,))[0]
