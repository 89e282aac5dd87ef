"""Measures how much the outputs of a model's modules change between steps (SmoothCache)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters import BlockAdapter, describe
from clusca_ext.adapters.description import Args, ModuleDescription
from clusca_ext.checks import integer
from clusca_ext.learning.calls import Call, branches_of, record
from clusca_ext.learning.mixing import require_no_cache
from clusca_ext.learning.smooth import ErrorCurves
from clusca_ext.schedule import Key
from clusca_ext.schedule.masks import name_of


def calibrate(
    model: nn.Module,
    sample: Callable[[int], Any],
    num_steps: int,
    max_gap: int = 3,
    seeds: Sequence[int] = (0,),
    adapter: BlockAdapter | None = None,
) -> ErrorCurves:
    """Run the full sampler and measure (SmoothCache, arXiv 2411.10510).

    The model's calls are recorded, then repeated branch by branch, while the last ``max_gap``
    outputs of every module are kept, in the model's own precision; errors are of float32.

    Args:
        model: The model, without a cache.
        sample: Runs the sampler with a seed.
        num_steps: Steps of a run.
        max_gap: Longest gap that is measured.
        seeds: Runs; the errors are means over them and over branches of guidance.
        adapter: As in ``enable_cache``.

    Raises:
        ValueError: The model is not known or has a cache, or a run has another number of steps.
    """
    integer("num_steps", num_steps, 2)
    integer("max_gap", max_gap, 1, num_steps - 1)
    if not len(seeds):
        raise ValueError("seeds must be one at least, got none")
    description = describe(model, adapter)
    model = description.model  # not what it was compiled to
    require_no_cache(model)
    parts = {
        (index, part.name): part
        for index, block in enumerate(description.blocks)
        for part in block.modules
    }
    found: dict[Key, list[list[list[float]]]] = {
        key: [[[] for _ in range(num_steps - gap)] for gap in range(1, max_gap + 1)]
        for key in parts
    }
    for seed in seeds:
        with torch.compiler.set_stance("force_eager"):  # what was compiled asks for no hooks
            calls = record(model, partial(sample, seed))
        branches = branches_of(len(calls), num_steps)
        for branch in range(branches):
            looks = _Looks(found, max_gap)
            handles = [
                part.module.register_forward_hook(partial(looks.see, key, part))
                for key, part in parts.items()
            ]
            try:
                for step, call in enumerate(calls[branch::branches]):
                    shapes = description.shapes(call.args, call.kwargs)
                    looks.begin(
                        step,
                        [0] * len(description.blocks)
                        if shapes is None
                        else [shape[1] for shape in shapes],
                    )
                    with torch.compiler.set_stance("force_eager"):
                        _run(model, call)
                    looks.end()
            finally:
                for handle in handles:
                    handle.remove()
    curves = {
        name_of(key): tuple(tuple(sum(errors) / len(errors) for errors in row) for row in rows)
        for key, rows in found.items()
    }
    together = tuple(name_of(key) for key, part in parts.items() if not part.computable)
    return ErrorCurves(num_steps=num_steps, curves=curves, together=together)


class _Looks:
    """Hooks that compare what modules return with what they did before.

    Args:
        found: Where errors go, by module, gap and step.
        max_gap: Outputs of each module that are kept.
    """

    def __init__(self, found: dict[Key, list[list[list[float]]]], max_gap: int) -> None:
        self._found, self._max_gap = found, max_gap
        self._before: dict[Key, list[Tensor]] = {}  # the last one first
        self._errors: list[tuple[list[float], Tensor]] = []  # of a step, each with where it goes

    def begin(self, step: int, tokens: list[int]) -> None:
        self._step, self._tokens = step, tokens

    def end(self) -> None:
        """Read a step's errors, all at once: the device is waited for once."""
        if self._errors:
            first = self._errors[0][1].device
            read = torch.stack([error.to(first) for _, error in self._errors]).tolist()
            if not all(map(math.isfinite, read)):
                raise ValueError(
                    f"sample must draw by outputs that are finite, got NaN or infinity at step "
                    f"{self._step}: sample in bfloat16 or float32"
                )
            for (found, _), error in zip(self._errors, read, strict=True):
                found.append(error)
            self._errors.clear()

    def see(
        self, key: Key, part: ModuleDescription, module: nn.Module, args: Args, output: Any
    ) -> None:
        feature = part.feature(output, self._tokens[key[0]])
        before, now = self._before.setdefault(key, []), feature.float()
        size = now.abs().sum().clamp(min=1e-10)  # of an adapter at scale 0, nothing
        for gap, old in enumerate(before, 1):
            error = (now - old.float()).abs().sum() / size
            self._errors.append((self._found[key][gap - 1][self._step - gap], error))
        self._before[key] = [feature.clone(), *before][: self._max_gap]


@torch.no_grad()
def _run(model: nn.Module, call: Call) -> None:
    call.of(model)
