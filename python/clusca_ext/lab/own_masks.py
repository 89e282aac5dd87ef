"""SmoothCache's masks of a model, as a calibration tries them: cut at the share of an interval."""

import pathlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clusca_ext.config import ClusCaConfig
from clusca_ext.forecast import Forecaster
from clusca_ext.lab.beside import Beside
from clusca_ext.lab.candidates import MASKS, MASKS_TAYLOR
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.models import shown_by
from clusca_ext.lab.parts import NONE, Method, evenly, reuse, taylor
from clusca_ext.lab.trials import Trials
from clusca_ext.learning.calibration import calibrate
from clusca_ext.learning.smooth import ErrorCurves
from clusca_ext.schedule import EvenSchedule, MaskSchedule
from clusca_ext.targets import transformers_of
from clusca_ext.writing import beside

MAX_GAP = 8  # so many outputs of every module are held while it is measured
APART = 0.01  # shares of two masks that are told apart


@dataclass(frozen=True)
class MasksOf:
    """Masks of one model by kind of module, with a forecaster.

    Attributes:
        masks: By how much they leave out, ascending.
        forecast: The forecaster of an order.
    """

    masks: tuple[MaskSchedule, ...]
    forecast: Callable[[int], Forecaster]

    def __call__(self, interval: int, order: int) -> ClusCaConfig:
        """Those that leave out about as much as even full steps at that interval."""
        num_steps = self.masks[0].num_steps
        even = evenly(interval)
        assert isinstance(even, EvenSchedule)
        share = 1 - len(even.full_steps(num_steps)) / num_steps
        nearest = min(self.masks, key=lambda masks: abs(masks.removed - share))
        return ClusCaConfig(schedule=nearest, forecaster=self.forecast(order), corrector=NONE)

    def beside(self, config: ClusCaConfig) -> list[ClusCaConfig]:
        """The same with masks that leave out a little less, and a little more."""
        if config.schedule not in self.masks:
            return []
        at = self.masks.index(config.schedule)
        others = (*self.masks[max(at - 1, 0) : at], *self.masks[at + 1 : at + 2])
        return [replace(config, schedule=masks) for masks in others]


def own_masks(trials: Trials, seeds: range, output: pathlib.Path) -> dict[str, Method]:
    """SmoothCache's masks, reused as published and with Taylor forecasts.

    Error curves are measured over full runs of some seeds, one by one, and kept beside the
    configuration (.curves.json).

    Raises:
        ValueError: The model does not show its steps, does not say how many there are, or is of
            two transformers.
        OutOfTime: The limit was reached before they were measured.
    """
    path = beside(output, ".curves.json")
    file = Beside(trials.model, seeds, path, trials.journal.origin)
    values = file.kept()
    if values is None:
        trials.require_time()
        curves = _measured(trials.model, seeds)
        file.keep({"curves": curves.curves, "together": curves.together})
    else:
        curves = ErrorCurves(
            num_steps=values["steps"], curves=values["curves"], together=values["together"]
        )
    masks = _apart(curves.schedules())
    return {MASKS: MasksOf(masks, reuse), MASKS_TAYLOR: MasksOf(masks, taylor)}


def _measured(model: Model, seeds: Sequence[int]) -> ErrorCurves:
    shown = shown_by(model)
    if shown is None or model.steps is None:
        raise ValueError(
            "model must be an embedded one, a folder of its kind, or a function that shows its "
            f"steps by draw.pipeline and their number by draw.steps, got {model.name}"
        )
    transformer, *more = transformers_of(shown)
    if more:
        raise ValueError(
            f"model must have one transformer, of whose modules masks are, got {1 + len(more)} in "
            f"the pipeline of {model.name}"
        )

    def sample(seed: int) -> Any:  # alone, so that a step's calls are its branches of guidance
        return model.draw(None, [seed])

    gap = min(MAX_GAP, model.steps - 1)
    return calibrate(transformer, sample, model.steps, gap, seeds=seeds)


def _apart(masks: Iterable[MaskSchedule]) -> tuple[MaskSchedule, ...]:
    found: list[MaskSchedule] = []
    for each in sorted(masks, key=lambda masks: masks.removed):
        if not found or each.removed >= found[-1].removed + APART:
            found.append(each)
    return tuple(found)
