"""Looks at a run of a model or pipeline, from outside."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import nn

from clusca_ext.adapters import describe, original
from clusca_ext.cache import Cache
from clusca_ext.checks import integer
from clusca_ext.config import ClusCaConfig
from clusca_ext.enable import disable_cache, enable_cache, summary
from clusca_ext.recording import limits
from clusca_ext.recording.memorylog import peak_bytes, weights_bytes
from clusca_ext.recording.pictures import data_uri, squared_errors
from clusca_ext.recording.recording import Recording
from clusca_ext.recording.steplog import StepLog
from clusca_ext.recording.watch import Clock, Watch
from clusca_ext.targets import transformers_of


class Recorder:
    """Records one run: what is called within the context; of several, the last.

    What the run computes stays bit for bit as it is. Its times are of a run that is recorded: the
    device is waited for around every call of the model, and what recording takes between calls is
    not counted to them, but to ``cost_seconds``. On CUDA the counter of peak memory is set back.

    Args:
        target: The model or pipeline.
        name: What the run is called.
        config: A cache to enable while it is recorded; None: it runs as it is, with the cache that
            it has, or without.
        samples: Of how many of the batch, the first ones, clusters are kept.
        options: Of ``enable_cache``, beside a config.

    Raises:
        ValueError: An argument does not fit.
    """

    def __init__(
        self,
        target: Any,
        name: str,
        config: ClusCaConfig | None = None,
        *,
        samples: int = 1,
        **options: Any,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"name must be text, got {name!r}")
        integer("samples", samples, 1, limits.SAMPLES)
        if options and config is None:
            raise ValueError(f"options need a config, got {sorted(options)} without")
        self._target, self._name, self._config = target, name, config
        self._samples, self._options = samples, options
        self._models = transformers_of(target)
        self._seen: Recording | None = None

    def __enter__(self) -> "Recorder":
        self._seen = None
        if self._config is not None:
            enable_cache(self._target, self._config, **self._options)
        try:
            self._watch()
        except BaseException:
            self._disable()
            raise
        return self

    def _watch(self) -> None:
        device = _device_of(self._models)
        self._clock = Clock(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        own = getattr(self._target, "scheduler", None)
        log = StepLog(None if isinstance(self._target, nn.Module) else own)
        compiled = _is_compiled(self._target, self._models)
        self._watches: list[Watch] = []
        for model in self._models:
            try:
                description = describe(model, self._options.get("adapter"))
            except ValueError:  # of a model that clusca_ext does not know, calls are timed
                description = None
            self._watches.append(
                Watch(model, description, log, self._clock, self._samples, compiled)
            )
        self._log, self._began = log, time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._clock.wait()
        wall = time.perf_counter() - self._began
        for watch in self._watches:
            watch.remove()
        try:
            if kind is None:
                self._seen = self._recorded(wall)
        finally:
            self._disable()

    def _disable(self) -> None:
        if self._config is not None:
            disable_cache(self._target)

    def _recorded(self, wall: float) -> Recording:
        """Whatever has been seen, the cache being there still."""
        first = self._watches[0]
        missing = first.missing()
        caches = [cache for cache in map(Cache.of, self._models) if cache is not None]
        if not self._log.steps:
            missing["steps"] = "the model was not called"
        if len(self._watches) > 1:
            missing["the second transformer"] = "maps and drift are those of the first"
        peak = peak_bytes(_device_of(self._models))
        memory = {"model weights": weights_bytes(self._models)}
        for watch in self._watches:
            for part, size in watch.memory.items():
                memory[part] = memory.get(part, 0) + size
        if peak is None:
            missing["peak memory"] = "only on CUDA is it counted"
        else:
            memory["peak on the device"] = peak
        config = None
        if caches:
            try:
                config = caches[0].config.to_dict()
            except ValueError as error:  # parts of the user's own
                missing["config"] = str(error)
        return Recording(
            name=self._name,
            config=config,
            steps=tuple(self._log.steps),
            wall_seconds=wall,
            cost_seconds=self._clock.cost,
            summary=_said(self._target) if caches and self._log.steps else None,
            memory=memory,
            maps=first.maps.maps(),
            features=first.features.drift() if first.features else None,
            gates=first.gates.drift() if first.gates else None,
            missing=missing,
        )

    def recording(
        self,
        images: Sequence[Image.Image] = (),
        *,
        reference: Sequence[Image.Image] | None = None,
        squared_error: Sequence[float] | None = None,
        unrecorded_seconds: float | None = None,
    ) -> Recording:
        """What was seen of the run.

        Args:
            images: What it drew, one for each sample, or the frames of a video; the first
                ``limits.PICTURES`` are kept.
            reference: What each of them is compared with, as 8 bits a channel.
            squared_error: Of each of them, where that is known better: mean over values in [0, 1].
            unrecorded_seconds: Duration of the same run without a recorder, where it was run.

        Raises:
            ValueError: The run has not ended, or an argument does not fit.
        """
        if self._seen is None:
            raise ValueError("a recording must be asked for after the run, got none that ended")
        if reference is not None and squared_error is not None:
            raise ValueError("give a reference or its squared_error, got both")
        if reference is not None:
            squared_error = squared_errors(images, reference)
        missing = dict(self._seen.missing)
        if not images:
            missing["pictures"] = "none were given"
        if len(images) > limits.PICTURES:
            missing["further pictures"] = f"the first {limits.PICTURES} of {len(images)} are kept"
        return dataclasses.replace(
            self._seen,
            pictures=tuple(data_uri(image) for image in images[: limits.PICTURES]),
            squared_error=None if squared_error is None else tuple(map(float, squared_error)),
            unrecorded_seconds=unrecorded_seconds,
            missing=missing,
        )


def _said(target: Any) -> dict[str, str]:
    """The summary's lines, by their first word."""
    lines = [line.split("  ", 1) for line in str(summary(target)).splitlines()]
    return {line[0].strip(): line[-1].strip() for line in lines}


def _device_of(models: Sequence[nn.Module]) -> torch.device:
    parameters = (p.device for model in models for p in model.parameters())
    return next((d for d in parameters if d.type != "meta"), torch.device("cpu"))


def _is_compiled(target: Any, models: Sequence[nn.Module]) -> bool:
    named = [getattr(target, name, None) for name in ("transformer", "transformer_2")]
    wrapped = any(original(each) is not each for each in (target, *named))
    own = any(getattr(m, "_compiled_call_impl", None) for model in models for m in model.modules())
    return wrapped or bool(own)
