"""The full sampler: its pictures, kept in a file, and how long it takes in this session."""

import json
import math
import pathlib
import time
from collections.abc import Mapping, Sequence

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clusca_ext.lab.drawn import Model
from clusca_ext.lab.journal import SAME
from clusca_ext.lab.metrics import decibels

# dB between a picture and the same one of another session. What a GPU may do as it likes, the order
# of sums and the choice of kernels, moves a picture less; other prompts or weights move it more.
ALIKE = 40.0
RECENT = 10.0  # seconds that a timing is young


class Changed(ValueError):
    """What draws now is not what drew before."""


class FullSampler:
    """Pictures of the model without a cache.

    Args:
        model: The model.
        path: Where pictures are kept; what another model, machine or version left is replaced.
        origin: Who draws (``origin.origin``).
    """

    def __init__(self, model: Model, path: pathlib.Path, origin: Mapping[str, str]) -> None:
        self._model, self._path = model, path
        of = {"model": model.name, "weights": model.weights, "steps": model.steps}
        self._of = json.dumps(of | {name: origin[name] for name in SAME}, sort_keys=True)
        self._images: dict[int, Tensor] = {}
        self._alone: Tensor | None = None  # its first seed, drawn in a run of its own
        self._load()
        self._last: dict[int, tuple[float, float]] = {}  # when, by the size of the batch

    def require_same(self) -> None:
        """Draw the first picture that is kept anew, and compare.

        Raises:
            Changed: Another one came.
        """
        if self._alone is None:
            return
        seed = next(iter(self._images))
        now = self._model.draw(None, [seed]).images[0]
        same = now.shape == self._alone.shape
        gap = decibels(now[None], self._alone[None]).item() if same else 0.0
        if gap < ALIKE:
            raise Changed(
                f"{self._model.name} must draw what is kept in {self._path}, within {ALIKE:g} dB, "
                f"got {gap:.1f} dB at seed {seed}: what it draws with has changed, or a seed does "
                "not decide its pictures"
            )

    def images(self, seeds: Sequence[int]) -> Tensor:
        """Its picture of each seed. [B, C, H, W]"""
        missing = [seed for seed in seeds if seed not in self._images]
        if missing:
            self._draw(missing)
            self._save()
        return torch.stack([self._images[seed] for seed in seeds])

    def seconds_now(self, seeds: Sequence[int], recent: float = RECENT) -> float:
        """Seconds of a sample in a batch such as this at this moment.

        Args:
            seeds: The batch.
            recent: Age in seconds up to which the last timing of such a batch will do.
        """
        size = len(seeds)
        at, found = self._last.get(size, (-math.inf, 0.0))
        if time.monotonic() - at > recent:
            found = self._model.full_seconds(seeds)
            self._last[size] = time.monotonic(), found
        return found

    def _draw(self, seeds: Sequence[int]) -> None:
        if self._alone is None:
            first = next(iter(self._images), seeds[0])
            self._alone = self._model.draw(None, [first]).images[0]
        self._images.update(zip(seeds, self._model.draw(None, seeds).images, strict=True))

    def _load(self) -> None:
        if not self._path.exists():
            return
        try:
            with safe_open(self._path, "pt") as file:
                if (file.metadata() or {}).get("of") != self._of:
                    return
                kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError:  # not whole: it is drawn again
            return
        self._alone = kept.get("alone")
        self._images = dict(zip(kept["seeds"].tolist(), kept["images"], strict=True))

    def _save(self) -> None:
        assert self._alone is not None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        seeds = torch.tensor(list(self._images))
        images = torch.stack(list(self._images.values()))
        tensors = {"seeds": seeds, "images": images, "alone": self._alone}
        save_file(tensors, partial, {"of": self._of})
        partial.replace(self._path)
