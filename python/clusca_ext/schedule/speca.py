"""SpeCa: forecast, verify, and compute a step once the forecast has failed."""

from dataclasses import dataclass

from clusca_ext.changes import MEASURES
from clusca_ext.checks import index, integer, threshold
from clusca_ext.config_format import later
from clusca_ext.schedule.decision import Decision, Signal, Step

COMPARED = {"stream": "verified", "output": "verified output"}  # kinds of ``Signal``


@dataclass(frozen=True, kw_only=True)
class SpeCaSchedule:
    """Cached steps until one block's forecast errs by more than a threshold that tightens (SpeCa,
    arXiv 2509.11628).

    A cached step computes the verified block beside its forecast, from the same input. The step is
    kept either way; its error decides the next one. The threshold falls from the first step to the
    last, ``max(threshold * decay ** (index / (steps - 1)), floor)`` with the index of the step that
    is decided. After every full step one is cached; each sample decides for itself.

    Where blocks attend to a stream of text that they update, the verified block is given that of
    the last full step, for cached steps skip it.

    Attributes:
        threshold: Error beyond which the next step is full, at the start of a run.
        decay: What is left of it at the end, as a factor.
        floor: The least it falls to.
        min_skips: Which cached step behind a full one is verified first: 1 the one right behind it.
            The published ``min_taylor_steps`` is one less, for its code counts a step after it has
            compared.
        max_skips: Cached steps in a row at most, as the published ``max_taylor_steps``.
        warmup: Steps at the start of which none is verified, every other full.
        block: Index of the verified block; negative: from the last one.
        error: As ``measure`` of ``Signal``. The published default, ``relative_l1``, is
            ``"mean_relative_l1"`` here; its others, ``relative_l2``, ``l1``, ``l2`` and
            ``cosine_similarity``, are ``"mean_relative_l2"``, ``"mean_l1"``, ``"mean_l2"`` and
            ``"cosine"``.
        compared: What of the block is: ``"stream"`` behind it, as published for DiT; ``"output"``
            of its last module, before its gate, as published for FLUX.1 and HunyuanVideo, whose
            last block, a single-stream one, is one module. It is compared as it was forecast,
            before a corrector moves it.
    """

    threshold: float = 0.1
    decay: float = 0.01
    floor: float = 0.01
    min_skips: int = 2
    max_skips: int = 5
    warmup: int = 3
    block: int = -1
    error: str = "mean_relative_l1"
    compared: str = later("stream")

    def __post_init__(self) -> None:
        for name in ("threshold", "decay", "floor"):
            threshold(name, getattr(self, name))
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be in (0, 1], got {self.decay}")
        integer("min_skips", self.min_skips, 1)
        integer("max_skips", self.max_skips, self.min_skips)
        integer("warmup", self.warmup, 1)
        index("block", self.block)
        if self.error not in MEASURES:
            raise ValueError(f"error must be one of {list(MEASURES)}, got {self.error!r}")
        if self.compared not in COMPARED:
            raise ValueError(f"compared must be one of {list(COMPARED)}, got {self.compared!r}")

    @property
    def signal(self) -> Signal:
        return Signal(COMPARED[self.compared], self.block, self.error)

    def start(self, num_steps: int | None) -> "_Verifying":
        if num_steps is None:
            raise ValueError(
                "SpeCaSchedule needs a run whose number of steps is known, for its threshold falls "
                "from the first to the last: pass timesteps= to enable_cache, or enable it on the "
                "pipeline"
            )
        return _Verifying(self, num_steps)


class _Verifying:
    def __init__(self, of: SpeCaSchedule, num_steps: int) -> None:
        self._of, self._last = of, max(1, num_steps - 1)
        self.max_interval = of.max_skips + 1
        self.verifies = False
        self._skips = 0  # cached steps since the last full one
        self._error = 0.0

    def threshold(self, step: int) -> float:
        """The error allowed at a step."""
        of = self._of
        tightened: float = of.threshold * of.decay ** (step / self._last)
        return max(tightened, of.floor)

    def __call__(self, step: Step) -> Decision | None:
        of = self._of
        full = step.last_full is None or (
            self._skips > 0
            and (
                step.index < of.warmup
                or self._skips >= of.max_skips
                or self._error > self.threshold(step.index)
            )
        )
        self._skips = 0 if full else self._skips + 1
        self._error = 0.0
        self.verifies = not full and self._skips >= of.min_skips
        return full

    def see(self, step: Step, change: float | None) -> Decision:
        self._error = 0.0 if change is None else change
        return False
