"""What is measured: a model is one entry of ``MODELS``, a folder of its kind, or a function."""

import json
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clusca_ext.config import ClusCaConfig
from clusca_ext.digests import digest_of, weights_digest
from clusca_ext.enable import disable_cache, enable_cache, summary
from clusca_ext.lab.drawn import Drawn, Model, now
from clusca_ext.lab.function_model import FunctionModel
from clusca_ext.lab.metrics import Features


@dataclass(frozen=True)
class Entry:
    """A kind of embedded model.

    Attributes:
        load: Its pipeline, embedded or from a folder.
        steps: Steps of its sampler.
        classes: Its labels: a seed draws the label ``seed % classes``.
        features: What judges the embedded one's pictures; None where nothing does.
    """

    load: Callable[..., Any]
    steps: int
    classes: int
    features: Callable[[], Features] | None = None


def _digits(*folder: pathlib.Path) -> Any:
    from clusca_ext.demo.pipeline import load_digits

    return load_digits(*folder)


def _pictures(*folder: pathlib.Path) -> Any:
    from clusca_ext.demo.picture_pipeline import load_pictures

    return load_pictures(*folder)


def _digit_features() -> Features:
    from clusca_ext.demo.features import digit_features

    return digit_features()


def _picture_features() -> Features:
    from clusca_ext.demo.features import picture_features

    return picture_features()


MODELS = {
    "digits": Entry(_digits, steps=50, classes=10, features=_digit_features),
    "pictures": Entry(_pictures, steps=25, classes=7, features=_picture_features),
}


def fitted_to(name: str, steps: int | None) -> str | None:
    """The embedded model of whose runs these are, so that what was fitted to it may be tried."""
    return name if name in MODELS and steps in (None, MODELS[name].steps) else None


class PipelineModel:
    """A pipeline that is called with labels, seeds and a number of steps.

    Its cache stays on from run to run of a configuration, as users leave it.
    """

    def __init__(self, name: str, pipeline: Any, entry: Entry, steps: int | None = None) -> None:
        self.name, self._pipeline, self._entry = name, pipeline, entry
        self.steps: int | None = entry.steps if steps is None else steps
        self.device = torch.device(pipeline.device)
        self.channels = int(getattr(pipeline.transformer, "inner_dim", 0))
        self.weights = weights_digest(pipeline.transformer)
        if name not in MODELS:  # the embedded ones' samplers are among the package's sources
            sampler = json.dumps(dict(pipeline.scheduler.config), sort_keys=True, default=str)
            self.weights = digest_of([self.weights.encode(), sampler.encode()])
        # A folder may hold a model of another size, which the embedded one's judge has not seen.
        judge = entry.features if name in MODELS else None
        self._features = None if judge is None else judge()
        self._enabled: ClusCaConfig | None = None
        pipeline.set_progress_bar_config(disable=True)

    @property
    def transformer(self) -> Any:
        return self._pipeline.transformer

    def draw(self, config: ClusCaConfig | None, seeds: Sequence[int]) -> Drawn:
        self._enable(config)
        try:
            images, seconds = self._timed(seeds, self.steps)
            said = None if config is None else summary(self._pipeline)
        except BaseException:  # the next run must not go on with what this one left
            self._enable(None)
            raise
        return Drawn(images.float().cpu(), seconds, said)

    def full_seconds(self, seeds: Sequence[int]) -> float:
        """From every eighth of its steps, which all take as long."""
        assert self.steps is not None
        steps = -(-self.steps // 8)
        self._enable(None)
        return self._timed(seeds, steps)[1] / len(seeds) * self.steps / steps

    def _timed(self, seeds: Sequence[int], steps: int | None) -> tuple[Tensor, float]:
        labels = [seed % self._entry.classes for seed in seeds]
        start = now(self.device)
        images = self._pipeline(labels, seeds=list(seeds), num_inference_steps=steps)
        return images, now(self.device) - start

    def features(self) -> Features | None:
        return self._features

    def _enable(self, config: ClusCaConfig | None) -> None:
        if config == self._enabled:
            return
        if self._enabled is not None:
            disable_cache(self._pipeline)
            self._enabled = None
        if config is not None:
            enable_cache(self._pipeline, config)
            self._enabled = config


def open_model(name: str, device: str = "cpu", steps: int | None = None) -> Model:
    """The model of a name.

    Args:
        name: One of ``MODELS``; a folder that holds such a model; or ``module:function``, of a
            function without arguments that returns ``draw(config | None, seeds) -> images``.
        device: Where an embedded model runs.
        steps: Steps of an embedded model's sampler; default: its entry's.

    Raises:
        ValueError: There is no such model, or it cannot be loaded.
    """
    if name in MODELS or pathlib.Path(name).is_dir():
        pipeline, entry = open_embedded(name)
        known = name if name in MODELS else _folder_name(name)
        return PipelineModel(known, pipeline.to(device), entry, steps)
    module, colon, function = name.partition(":")
    if not colon:
        raise ValueError(
            f"model must be one of {list(MODELS)}, a folder, or module:function, got {name!r}"
        )
    if steps is not None:
        raise ValueError(f"steps are a matter of {name} itself, got steps={steps}")
    if device != "cpu":
        raise ValueError(f"device is a matter of {name} itself, got {device!r}")
    return FunctionModel(name, module, function)


def shown_by(model: Model) -> object | None:
    """What shows the model's steps: its transformer or pipeline; None where only pictures do."""
    if isinstance(model, FunctionModel):
        return model.pipeline
    return model.transformer if isinstance(model, PipelineModel) else None


def _folder_name(name: str) -> str:
    """What rows call a folder: the same however it was typed, and never an embedded model."""
    folder = str(pathlib.Path(name))
    return f"./{folder}" if folder in MODELS else folder


def open_embedded(name: str) -> tuple[Any, Entry]:
    """The pipeline of an embedded model, or of a folder that holds one of a kind, and its entry.

    Raises:
        ValueError: There is none.
    """
    if name in MODELS:
        return MODELS[name].load(), MODELS[name]
    folder, reasons = pathlib.Path(name), []
    if not folder.is_dir():
        raise ValueError(f"model must be one of {list(MODELS)} or a folder, got {name!r}")
    for kind, entry in MODELS.items():
        try:
            return entry.load(folder), entry
        except ValueError as error:
            reasons.append(f"{kind}: {error}")
    raise ValueError(f"{folder} must hold a model of a kind that is known: {'; '.join(reasons)}")
