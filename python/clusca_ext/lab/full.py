"""The full sampler: its pictures, kept in a file, and how long it takes in this session."""

import json
import math
import pathlib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clusca_ext.lab.drawn import Model
from clusca_ext.lab.journal import SAME

RETIME = 2  # settings between two timings of the full sampler: a shared machine's speed drifts
RECENT = 3  # timings whose median stands for it


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
        self._images = self._load()
        self._timings: dict[int, list[float]] = defaultdict(list)
        self._last: dict[int, tuple[float, float]] = {}  # when, by the size of the batch
        self._turns: dict[int, int] = defaultdict(int)

    def images(self, seeds: Sequence[int]) -> Tensor:
        """Its picture of each seed. [B, C, H, W]"""
        missing = [seed for seed in seeds if seed not in self._images]
        if missing:
            self._draw(missing)
            self._save()
        return torch.stack([self._images[seed] for seed in seeds])

    def seconds(self, seeds: Sequence[int]) -> float:
        """Seconds of a sample in a batch such as this, measured in this session, not long ago."""
        size = len(seeds)
        turn, self._turns[size] = self._turns[size], self._turns[size] + 1
        if not self._timings[size] or (turn and turn % RETIME == 0):
            self._draw(seeds)
        return median(self._timings[size][-RECENT:])

    def seconds_now(self, seeds: Sequence[int], recent: float = 10.0) -> float:
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
        if not self._timings:  # the first run of a session is slower than those that follow
            self._model.draw(None, seeds[:1])
        drawn = self._model.draw(None, seeds)
        self._timings[len(seeds)].append(drawn.seconds / len(seeds))
        self._images.update(zip(seeds, drawn.images, strict=True))

    def _load(self) -> dict[int, Tensor]:
        if not self._path.exists():
            return {}
        try:
            with safe_open(self._path, "pt") as file:
                if (file.metadata() or {}).get("of") != self._of:
                    return {}
                seeds, images = file.get_tensor("seeds"), file.get_tensor("images")
        except SafetensorError:  # not whole: it is drawn again
            return {}
        return dict(zip(seeds.tolist(), images, strict=True))

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        seeds = torch.tensor(list(self._images))
        images = torch.stack(list(self._images.values()))
        save_file({"seeds": seeds, "images": images}, partial, {"of": self._of})
        partial.replace(self._path)
