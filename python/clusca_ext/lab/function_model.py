"""A function of the user's as a model of the laboratory."""

import importlib
import inspect
import pathlib
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor, nn

from clusca_ext.checks import integer
from clusca_ext.config import ClusCaConfig
from clusca_ext.digests import digest_of
from clusca_ext.lab.drawn import Drawn, now
from clusca_ext.lab.metrics import Features
from clusca_ext.targets import transformers_of

BEYOND = 2.0  # of pictures in [-1, 1] that are not clamped
DrawFunction = Callable[[ClusCaConfig | None, Sequence[int]], Tensor]


class FunctionModel:
    """A function of the user's: of a configuration and seeds it returns pictures in [-1, 1].

    What it draws with is not seen: a digest of its module's file, and of its attribute ``version``,
    stands for it. Its attributes ``pipeline`` and ``steps`` may say more.

    Attributes:
        pipeline: The pipeline it draws with, or the transformer; None where it does not say.
        steps: Steps of a run; None where it does not say.
    """

    channels = 0

    def __init__(self, name: str, module: str, function: str) -> None:
        self.name, self._function = name, _function(module, function, name)
        self.weights = _digest(sys.modules[module], self._function)
        self.pipeline = _pipeline(self._function)
        self.steps = _steps(self._function)
        self.device = _device(self.pipeline)
        self._warned = False

    def draw(self, config: ClusCaConfig | None, seeds: Sequence[int]) -> Drawn:
        start = now(self.device)
        images = self._function(config, list(seeds))
        seconds = now(images.device if isinstance(images, Tensor) else self.device) - start
        if not isinstance(images, Tensor) or images.ndim < 2 or len(images) != len(seeds):
            got = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ValueError(
                f"{self.name} must return a tensor of {len(seeds)} images, one a seed, got {got}"
            )
        images = images.detach().float().cpu()
        if config is None:
            self._require_pictures(images)
        return Drawn(images, seconds, None)

    def _require_pictures(self, images: Tensor) -> None:
        """Check the full sampler's, whose range is told once where it looks like another one."""
        if not images.isfinite().all():
            raise ValueError(f"{self.name} must draw finite pictures, got NaN or infinity")
        least, most = images.min().item(), images.max().item()
        if (least >= 0 or max(-least, most) > BEYOND) and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name} should draw pictures in [-1, 1], got values from {least:.3g} to "
                f"{most:.3g}: PSNR takes 2 for their range, and is 6 dB too high where it is 1",
                stacklevel=2,
            )

    def full_seconds(self, seeds: Sequence[int]) -> float:
        return self.draw(None, seeds).seconds / len(seeds)

    def features(self) -> Features | None:
        return None


def _function(module: str, function: str, name: str) -> DrawFunction:
    if "" not in sys.path:  # a module that lies in the folder the command is called in
        sys.path.insert(0, "")
    try:
        make = getattr(importlib.import_module(module), function)
        inspect.signature(make).bind()
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(
            f"model must be module:function of a function without arguments, got {name!r}: {error}"
        ) from error
    draw = make()  # whose own errors are its own
    if not callable(draw):
        raise ValueError(f"{name} must return a function draw(config, seeds), got {draw!r}")
    made: DrawFunction = draw
    return made


def _pipeline(draw: DrawFunction) -> object | None:
    found: object | None = getattr(draw, "pipeline", None)
    if found is not None:
        try:
            transformers_of(found)
        except ValueError as error:
            raise ValueError(f"pipeline of draw: {error}") from None
    return found


def _device(pipeline: object | None) -> torch.device:
    """Where the pipeline runs; where that is not said, on a GPU, if there is one."""
    found = getattr(pipeline, "_execution_device", None)  # of diffusers' pipelines, offloaded too
    if isinstance(pipeline, nn.Module) and not hasattr(pipeline, "_hf_hook"):
        found = next((each.device for each in pipeline.parameters() if not each.is_meta), None)
    usual = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(usual) if found is None else torch.device(found)


def _steps(draw: DrawFunction) -> int | None:
    steps: int | None = getattr(draw, "steps", None)
    if steps is not None:
        integer("steps of draw", steps, 1)
    return steps


def _digest(module: ModuleType, draw: DrawFunction) -> str:
    version = getattr(draw, "version", "")
    if not isinstance(version, (str, int)):
        raise ValueError(f"version of draw must be a string or an integer, got {version!r}")
    parts = [f"{version}\0".encode()]
    if module.__file__ is not None:  # else it was typed in
        parts.append(pathlib.Path(module.__file__).read_bytes())
    return digest_of(parts)
