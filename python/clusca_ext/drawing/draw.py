"""One run of a pipeline: what it drew, how long it took, and how far it is meanwhile."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clusca_ext.drawing.request import parameters
from clusca_ext.drawing.sources import Source

Frames = NDArray[np.float32]  # [F, H, W, C] in [0, 1]; a picture is one frame
OnStep = Callable[[], None]


@dataclass(frozen=True)
class Drawn:
    """What a run drew.

    Attributes:
        frames: Values in [0, 1]. [F, H, W, C]
        seconds: Of the whole call, the device having finished before and after.
    """

    frames: Frames
    seconds: float


def draw(
    source: Source, inputs: dict[str, Any], seed: int, on_step: OnStep = lambda: None
) -> Drawn:
    """Draw one picture or video.

    Args:
        source: The pipeline.
        inputs: What it is given (``request.inputs``).
        seed: Of its noise, made on the CPU: the same on every device.
        on_step: Called after every step.

    Raises:
        ValueError: The pipeline has no decoder, so that there is nothing to see.
    """
    if source.embedded:
        given = inputs | {"seeds": [seed], "on_step": lambda step, images: on_step()}
        drawn, seconds = _timed(source, given)
        frames = (drawn.float().cpu().permute(0, 2, 3, 1).numpy() + 1) / 2
        return Drawn(frames, seconds)
    pipeline = source.pipeline
    if "vae" in pipeline.components and pipeline.vae is None:
        raise ValueError(f"{source.name} has no vae: its latents cannot be made pictures")
    known = parameters(source)
    given = inputs | {"generator": torch.Generator().manual_seed(seed)}
    if "output_type" in known:
        given["output_type"] = "np"
    with _watched(pipeline, on_step):
        out, seconds = _timed(source, given)
    is_video = hasattr(out, "frames")
    found = np.asarray(out.frames if is_video else out.images, dtype=np.float32)
    return Drawn(found[0] if is_video else found[:1], seconds)


def psnr(frames: Frames, reference: Frames) -> float:
    """Peak signal-to-noise ratio in decibels; infinite where both are the same."""
    error = float(np.square(frames.astype(np.float64) - reference).mean())
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def now(device: torch.device) -> float:
    """Seconds, when the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _timed(source: Source, given: dict[str, Any]) -> tuple[Any, float]:
    start = now(source.device)
    out = source.pipeline(**given)
    return out, now(source.device) - start


@contextmanager
def _watched(pipeline: Any, on_step: OnStep) -> Iterator[None]:
    """Pipelines of diffusers tell their own progress bar of their steps: ours stands in for it."""
    had = "progress_bar" in vars(pipeline)
    before = pipeline.progress_bar
    pipeline.progress_bar = lambda iterable=None, total=None: _Bar(iterable, on_step)
    try:
        yield
    finally:
        if had:
            pipeline.progress_bar = before
        else:
            del pipeline.progress_bar


class _Bar:
    """What pipelines use of tqdm: a bar over something, or one that is told."""

    def __init__(self, iterable: Any, on_step: OnStep) -> None:
        self._iterable, self._on_step = iterable, on_step

    def __iter__(self) -> Iterator[Any]:
        for each in self._iterable:
            yield each
            self._on_step()

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int = 1) -> None:
        for _ in range(int(count)):
            self._on_step()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None  # a description, a postfix: nothing of ours
