"""What ``clusca report`` shows of a comparison: both runs again, looked at step by step."""

from typing import Any

import numpy as np

from clusca_ext.config import ClusCaConfig
from clusca_ext.drawing.compare import FULL, Compared, Watch
from clusca_ext.drawing.draw import Drawn, draw
from clusca_ext.drawing.files import images_of
from clusca_ext.drawing.sources import Source
from clusca_ext.recording import Document, Recorder, Recording


def record(source: Source, inputs: dict[str, Any], found: Compared, watch: Watch) -> Document:
    """Draw the first seed once more without the cache and with it, and record both.

    Runs of their own, for looking takes time: those that were compared are not slowed down.

    Args:
        source: The pipeline, without a cache.
        inputs: What it is given.
        found: The comparison.
        watch: Told of both runs.
    """
    seed = found.seeds[0]

    def recorded(
        name: str, config: ClusCaConfig | None, seconds: float, beside: Drawn | None
    ) -> tuple[Recording, Drawn]:
        watch.begin(f"{name}, recorded")
        with Recorder(source.pipeline, name=name, config=config) as recorder:
            drawn = draw(source, inputs, seed, watch.step)
        errors = None if beside is None else _errors(drawn, beside)
        images = images_of(drawn.frames)
        return (
            recorder.recording(images, squared_error=errors, unrecorded_seconds=seconds),
            drawn,
        )

    full, drawn = recorded(FULL, None, found.full_seconds, None)
    choice = found.choice
    cached, _ = recorded(choice.name, choice.config, found.cached_seconds, drawn)
    notes = [found.timing()] + [found.BUSY] * (found.is_quiet is False)
    title = f"{source.name}, seed {seed}"
    return Document(kind="run", title=title, runs=(full, cached), notes=tuple(notes))


def _errors(drawn: Drawn, beside: Drawn) -> list[float]:
    """Mean squared error of every frame, of values in [0, 1]."""
    difference = drawn.frames.astype(np.float64) - beside.frames
    errors: list[float] = np.square(difference).mean(axis=(1, 2, 3)).tolist()
    return errors
