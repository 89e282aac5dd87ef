"""Which graph a cached step is, if any: captured at its first, replayed from then on."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.graphs import cuda
from clusca_ext.graphs.captured import CachedStep, CapturedStep, are_same
from clusca_ext.graphs.copies import Layout
from clusca_ext.graphs.hooks import Watch
from clusca_ext.graphs.reads import Reads
from clusca_ext.graphs.values import Unfit
from clusca_ext.graphs.weights import States, modes
from clusca_ext.installation import Installation

MAX_GRAPHS = 8  # of a cache; and as many are captured in a run: two branches, of four kinds each

GRAPH = "one CUDA graph"


@dataclass
class Turn:
    """A cached step: replayed, or one whose like is captured after it.

    Attributes:
        key: Of the graph.
        step: The step.
        output: Of a replay.
        replayed: Whether it was replayed.
        captured: What is captured after it.
    """

    key: Hashable
    step: CachedStep
    output: Any = None
    replayed: bool = False
    captured: CapturedStep | None = None


class CachedSteps:
    """The graphs of a cache.

    Args:
        wanted: Whether the configuration asks for graphs.

    Attributes:
        says: How cached steps run, and why, in words for a summary.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self.says = "eager: no step was cached" if wanted else "eager: cuda_graph=False"
        self._expected: Installation | None = None
        self._backend: cuda.Backend | None = None
        self._device: torch.device | None = None
        self._graphs: dict[Hashable, CapturedStep | str] = {}  # or why there is none
        self._states = States()
        self._hooked: Watch | None = None  # while a step runs that is to be captured
        self._like: Layout | None = None  # of the step before
        self.begin_run()

    # ---- asked by the cache

    def begin_run(self) -> None:
        """Weights may have moved since the last one."""
        self._states.begin_run()
        self._captures = 0
        if self._wanted:
            self.says = "eager: no step was cached"

    def expect(
        self, installed: Installation, kind: str, device: torch.device, why: str | None = None
    ) -> None:
        """A step that forecasts begins, and has been given all it needs.

        Args:
            installed: The executors.
            kind: ``"cached"`` or ``"partial"``.
            device: Where the model is.
            why: It cannot be a graph; None: for all that is known it can.
        """
        if not self._wanted:
            return
        if why is not None:
            self.says = f"eager: {why}"
            return
        if device != self._device:
            self.release()
            self._backend, self._device = None, device
        correction = installed.correction
        if correction is not None and correction.persistent:
            self.says = "eager: corrections are written into the cache at every step"
        elif kind == "cached":
            self._expected = installed
        elif self.says != GRAPH:
            self.says = "eager: some modules are computed at its steps"

    def finish(self) -> None:
        """The step has ended, or was broken off."""
        if self._hooked is not None:
            self._hooked.stop()
            self._hooked = None
        if self._expected is not None:  # nobody took it
            self._expected = None
            self.says = "eager: the model's forward was replaced"

    def release(self) -> None:
        """Give all memory back."""
        self._expected = None
        self.finish()
        captured = [each for each in self._graphs.values() if isinstance(each, CapturedStep)]
        if self._backend is not None:
            self._backend.release([each.recording for each in captured])
        self._graphs.clear()
        self._states.clear()
        self._like = None

    # ---- asked in the model's forward

    @torch.no_grad()
    def take(self, args: Args, kwargs: Kwargs) -> Turn | None:
        """The step that was expected, with its output if it was replayed; None: it runs eagerly."""
        installed, self._expected = self._expected, None
        if installed is None:
            return None
        try:
            return self._take(installed, args, kwargs)
        except Unfit as why:
            self.says = f"eager: {why}"
            return None

    @torch.no_grad()
    def begin(self, turn: Turn) -> tuple[Args, Kwargs]:
        """Capture from now on: the model is to be called again, with these inputs."""
        assert self._backend is not None
        if self._hooked is not None:
            self._hooked.require_none_called()
        self._states.require_still(turn.step.reads.model)
        turn.captured = CapturedStep(turn.step)
        args, kwargs, read = turn.step.with_copies(turn.captured.copies)
        turn.step.reads.begin_again(read)
        self._backend.begin()
        return args, kwargs

    @torch.no_grad()
    def end(self, turn: Turn, output: Any, expected: Any) -> None:
        """The model has returned: what was captured must give what it gave before."""
        assert self._backend is not None and turn.captured is not None
        recording = self._backend.end()
        turn.step.reads.begin_again()
        turn.captured.finish(recording, output)
        if not are_same(turn.captured.replay(turn.step), expected):
            raise Unfit("a replay did not give what the step had given")
        self._keep(turn.key, turn.captured)
        self.says = GRAPH

    @torch.no_grad()
    def abandon(self, turn: Turn, error: Exception | None) -> None:
        """The capture failed, and would again; None: it was broken off."""
        assert self._backend is not None
        self._backend.abandon()
        turn.step.reads.begin_again()
        if error is not None:
            why = f"{error}" if isinstance(error, Unfit) else f"the capture failed: {_first(error)}"
            self._keep(turn.key, why)
            self.says = f"eager: {why}"

    def _take(self, installed: Installation, args: Args, kwargs: Kwargs) -> Turn:
        assert self._device is not None
        if self._backend is None:
            self._backend = cuda.backend_of(self._device)
        if torch._C._len_torch_dispatch_stack():
            raise Unfit("a mode is on that looks at operators, and would not see a graph's")
        if self._backend.is_busy():
            raise Unfit("somebody else captures it")
        if len(self._states) > MAX_GRAPHS:
            self.release()
        state = self._states.now(installed)
        step = CachedStep(args, kwargs, Reads(installed), self._device, self._like)
        self._like = step.spans.layout
        turn = Turn((state, modes(), step.key), step)
        found = self._graphs.get(turn.key)
        if isinstance(found, str):
            raise Unfit(found)
        if found is not None:
            self._backend.follow()
            turn.output, turn.replayed, self.says = found.replay(step), True, GRAPH
            _count_as_compiled()
        elif self._captures == MAX_GRAPHS:
            raise Unfit(f"its inputs differ in more than values, {MAX_GRAPHS} times in a run")
        else:
            self._captures += 1
            step.reads.remember()
            self._hooked = Watch(step.reads.model, self._states.hooked())
        return turn

    def _keep(self, key: Hashable, found: CapturedStep | str) -> None:
        """The ones kept for the longest go."""
        self._graphs[key] = found
        while len(self._graphs) > MAX_GRAPHS:
            oldest = self._graphs.pop(next(iter(self._graphs)))
            if isinstance(oldest, CapturedStep) and self._backend is not None:
                self._backend.release([oldest.recording])


def _first(error: Exception) -> str:
    """Its first line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _count_as_compiled() -> None:
    """Where ``fullgraph=True`` counts the compiled frames of a call, a replay stands for one."""
    counting = getattr(torch._C._dynamo.eval_frame, "set_fullgraph_compiled_frame_count", None)
    if counting is None:  # not every torch counts
        return
    if counting(-1) >= 0:  # it was counting: anew, from one
        counting(1)
