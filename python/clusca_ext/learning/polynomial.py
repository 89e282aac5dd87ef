"""TeaCache's polynomial, fitted: what a change of the first block's input tells of the output."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clusca_ext.changes import measured
from clusca_ext.checks import integer
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import NoCorrection
from clusca_ext.enable import cache
from clusca_ext.schedule.by_change import TeaCacheSchedule
from clusca_ext.schedule.decision import Decision, Signal, Step
from clusca_ext.targets import transformers_of


@dataclass(frozen=True)
class Polynomial:
    """A fit over the steps of full runs.

    Attributes:
        coefficients: The highest power first, as ``TeaCacheSchedule`` takes them.
        explained: Share of the output changes' variance that it explains, R^2.
        points: (change of what is looked at, change of the output), of every step.
    """

    coefficients: tuple[float, ...]
    explained: float
    points: tuple[tuple[float, float], ...]

    @property
    def largest(self) -> float:
        """The largest change it was fitted to."""
        return max(change for change, _ in self.points)


class Recording:
    """A schedule whose steps are all full; what they show is paired with what comes out.

    Attributes:
        signal: What is looked at.
        points: (its change, change of the output), of every step but a run's first.
    """

    def __init__(self, change_of: str = "modulated input") -> None:
        self.signal = Signal(change_of)
        self.points: list[tuple[float, float]] = []
        self._shown: tuple[_Run, float | None] | None = None

    def start(self, num_steps: int | None) -> "_Run":
        return _Run(self)

    def show(self, run: "_Run", change: float | None) -> None:
        self._shown = run, change

    def see_output(self, model: nn.Module, args: Any, output: Any) -> None:
        """Forward hook of the model. The call of a batch that is split shows nothing itself."""
        if self._shown is None:
            return
        (run, change), self._shown = self._shown, None
        now = output if isinstance(output, Tensor) else output[0]
        now = torch.stack(list(now)) if isinstance(now, list) else now
        before, run.before = run.before, now
        if change is not None and before is not None:
            self.points.append((change, measured("relative_l1", now, before).item()))


class _Run:
    """One branch of guidance of one sample."""

    verifies, max_interval = False, 0

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.before: Tensor | None = None

    def __call__(self, step: Step) -> Decision | None:
        return None

    def see(self, step: Step, change: float | None) -> Decision:
        self._recording.show(self, change)
        return True


def fit_polynomial(
    model: object,
    run: Callable[[], object],
    degree: int = 4,
    enable: Mapping[str, Any] | None = None,
    change_of: str = "modulated input",
) -> Polynomial:
    """Fit TeaCache's polynomial (arXiv 2411.19108) over runs of the full sampler.

    Args:
        model: The transformer, or a pipeline; of one with two transformers, what both show.
        run: Samples with it, once or more often, prompts and seeds like those it will be used for.
        degree: Of the polynomial.
        enable: Other arguments of ``enable_cache`` that the model needs, as ``timesteps`` of a
            transformer without its pipeline.
        change_of: What is looked at, as the attribute of ``TeaCacheSchedule`` that will use it.

    Raises:
        ValueError: The model is not supported, or has a cache; the run shows fewer steps than
            there are coefficients, or values that are not finite.
    """
    integer("degree", degree, 1)
    TeaCacheSchedule(change_of=change_of)  # which knows what there is
    recording = Recording(change_of)
    parts = transformers_of(model)
    handles = [part.register_forward_hook(recording.see_output) for part in parts]
    config = ClusCaConfig(schedule=recording, corrector=NoCorrection())
    try:
        # What was compiled asks for no hooks, and what is compiled now would keep these.
        with torch.compiler.set_stance("force_eager"), cache(model, config, **(enable or {})):
            run()
    finally:
        for handle in handles:
            handle.remove()
    points = recording.points
    if len(points) <= degree:
        raise ValueError(
            f"run must show more than {degree} changes for {degree=}, got {len(points)}"
        )
    if not np.isfinite(points).all():
        raise ValueError("run must show changes that are finite, got NaN or infinity")
    x, y = np.array(points).T
    coefficients = np.polyfit(x, y, degree)
    left, spread = y - np.polyval(coefficients, x), float(((y - y.mean()) ** 2).sum())
    explained = 1 - float((left**2).sum()) / spread if spread else 1.0
    return Polynomial(tuple(map(float, coefficients)), explained, tuple(points))
