"""A model as it is described now, and what a cache has put into it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from clusca_ext.adapters import ranks
from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.branch import Branch, Storage
from clusca_ext.changes import Seen
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import NoCorrection
from clusca_ext.executor import Correction, ModuleExecutor
from clusca_ext.installation import Installation, Key, computable, require_called_once
from clusca_ext.plan import ModulationPlan
from clusca_ext.probe import Probe
from clusca_ext.schedule import Decision, Mask, Signal
from clusca_ext.schedule.decision import VERIFIED, masked_by
from clusca_ext.storage.choice import storage_of


class Fitting:
    """Executors, hooks, and what its schedule looks at.

    Args:
        describe: Describes the model's blocks.
        config: What is cached, and how.
        correction: What the corrector gives the modules; None: nothing.
        process_group: Ranks that must decide alike.

    Attributes:
        description: What is cached of the model.
        installed: Its executors and hooks.
        probe: What its schedule looks at; None: nothing.
    """

    description: ModelDescription
    installed: Installation
    probe: Probe | None

    def __init__(
        self,
        describe: Callable[[], ModelDescription],
        config: ClusCaConfig,
        correction: Correction | None,
        process_group: Any = None,
    ) -> None:
        self._describe, self._config = describe, config
        self._correction, self._group = correction, process_group
        self._signal: Signal | None = getattr(config.schedule, "signal", None)
        self.probe, self.description, self.installed = self._fit(describe())

    def _fit(self, whole: ModelDescription) -> tuple[Probe | None, ModelDescription, Installation]:
        probe, apart = None, frozenset[int]()
        if self._signal is not None:
            probe = Probe(self._signal, whole, self._group)
            apart = frozenset({probe.index}) if self._signal.kind in VERIFIED else apart
            if self._signal.kind == "verified output" and self._config.storage != "per_block":
                raise ValueError(
                    'compared must be "stream" where storage is lean, which keeps no output of a '
                    'module, got "output"'
                )
        description = self._cached(whole)
        corrector, source = self._config.corrector, None
        if not isinstance(corrector, NoCorrection):
            source = whole.source(corrector.source)
            source = max(0, source - (len(whole.blocks) - len(description.blocks)))
        alone = self._config.storage != "per_block"
        installed = Installation(description, self._correction, source, alone, apart)
        installed.expect_masks(self._masked(installed))
        return probe, description, installed

    def _masked(self, installed: Installation) -> Mask:
        """What some step computes while others are forecast, of a schedule that names modules.

        Raises:
            ValueError: They are not this model's, or storage has no single ones.
        """
        schedule, modules = self._config.schedule, computable(installed.modules)
        if callable(require := getattr(schedule, "require", None)):
            require(modules)
        masked = masked_by(schedule, modules)
        if masked and self._config.storage != "per_block":
            raise ValueError(
                "a schedule must decide full or cached steps where storage is lean, got "
                f"{type(schedule).__name__} with steps that compute single modules"
            )
        return masked

    def _cached(self, whole: ModelDescription) -> ModelDescription:
        """All blocks, but for the first where a schedule has it computed at every step."""
        if self._signal is None or self._signal.kind != "first block":
            return whole
        if len(whole.blocks) < 2:
            raise ValueError("a schedule that computes the first block needs others, got one block")
        return replace(whole, blocks=whole.blocks[1:])

    def install(self) -> None:
        self.installed.install()
        if self.probe is not None:
            self.probe.install(self.installed.blocks)

    def remove(self) -> None:
        """Restore the blocks; a second time does nothing."""
        self.installed.remove()
        if self.probe is not None:
            self.probe.remove()

    def renew(self) -> bool:
        """Where modules were exchanged since the last run, as LoRAs do, the new ones are cached."""
        whole = self._describe()
        if self.installed.fits(self._cached(whole)):
            return False
        found = self._fit(whole)  # where it does not fit any more, all stays as it was
        self.remove()
        self.probe, self.description, self.installed = found
        self.install()
        return True

    def parts(self) -> tuple[ModulationPlan, Storage]:
        """What a branch has of its own."""
        plan = ModulationPlan(self.description, self.installed.blocks)
        return plan, storage_of(self._config, self.installed)

    # ---- a step

    def is_step(self, model: nn.Module, args: Args, kwargs: Kwargs) -> bool:
        """Not a copy's call, nor one without some of the blocks: these run as they are."""
        here = self.description
        return model is here.model and not here.leaves_out(args, kwargs)

    def decide(self, branch: Branch, every: Sequence[Seen], args: Args, kwargs: Kwargs) -> bool:
        """A step begins: its schedule decides it, or leaves it open until it has seen its signal.

        Args:
            branch: Whose step it is.
            every: What all branches have been shown.
            args: The call's positional inputs.
            kwargs: Its keyword inputs.

        Returns:
            Whether it is decided.
        """
        step = branch.next_step(args, kwargs)
        if self.probe is not None:
            self.probe.tell(branch.seen, every, branch.adapting, step)
        branch.decision = branch.decide(step)
        if branch.decision is None and self.probe is None:
            raise ValueError("a schedule that names no signal must decide every step, got None")
        if branch.decision is None and self.probe is not None and branch.sample is not None:
            self.probe.look(branch.seen)
        return branch.decision is not None

    def begin(
        self,
        branch: Branch,
        every: Sequence[Seen],
        args: Args,
        kwargs: Kwargs,
        settle: Callable[[Branch, Args, Kwargs, Decision], None],
    ) -> None:
        """The call begins that does the step: settle it, now or when its signal is seen."""
        decision = branch.decision
        beside = partial(self.description.tokens_beside, args=args, kwargs=kwargs)
        for joint in self.installed.joints:
            joint.begin(branch.seen.texts, beside)
        if self.probe is not None:
            about = branch.adapting, branch.next_step(args, kwargs)
            if decision is None and branch.sample is not None:
                decision = self.probe.looked(branch.seen, every, *about)
            self.probe.begin(branch.seen, *about, partial(settle, branch, args, kwargs))
            self.probe.is_open = decision is None
        if decision is not None:
            settle(branch, args, kwargs, decision)

    def settle(self, full: bool) -> str | None:
        """A step is decided. Returns why it cannot be a graph, as far as that is known here."""
        self.installed.let(full=full)
        if self.probe is not None:
            self.probe.full = full
            return "its schedule decides by what steps show"
        return None if ranks.group_of(self.description.model) is None else "ranks share its tokens"

    def finish(self) -> tuple[bool, dict[Key, ModuleExecutor]]:
        """The step has ended. Whether it was decided, and the modules that it computed."""
        decided = self.probe is None or not self.probe.is_open
        if self.probe is not None:
            self.probe.finish()
        return decided, self.installed.end_step()


def require_done(decided: bool, computed: dict[Key, ModuleExecutor]) -> None:
    """A step has ended as it should."""
    require_decided(decided)
    require_called_once(computed)


def require_decided(decided: bool) -> None:
    if not decided:
        raise ValueError("the first block must be called in every step: a schedule looks at it")
