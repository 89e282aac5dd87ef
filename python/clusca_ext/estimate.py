"""How much memory a cache will take, without running."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import nn

from clusca_ext.adapters import BlockAdapter, describe
from clusca_ext.adapters.description import ModelDescription
from clusca_ext.checks import integer
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import ClusterCorrector, delta_only
from clusca_ext.executor import Correction
from clusca_ext.fitting import Fitting
from clusca_ext.installation import Installation
from clusca_ext.schedule import ByIndex
from clusca_ext.seen import seen
from clusca_ext.storage.ahead import longest_interval
from clusca_ext.storage.lean.arena import size_of
from clusca_ext.storage.lean.bases import Exact
from clusca_ext.storage.lean.cells import cells
from clusca_ext.storage.lean.choice import rank_of, require
from clusca_ext.storage.lean.course import Course, Past
from clusca_ext.storage.lean.description import LeanStorage
from clusca_ext.storage.lean.feature import LeanFeature
from clusca_ext.storage.lean.room import Room, sums_of
from clusca_ext.storage.lean.rows import Rows
from clusca_ext.storage.lean.shared import SharedParts, shares_gates
from clusca_ext.storage.lean.window import Window
from clusca_ext.targets import transformers_of

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Memory:
    """What a cache takes, for each branch of guidance that calls the model by itself.

    Attributes:
        basis: What is kept: ``"per_block"``, or the lean basis.
        parts: Bytes of each part.
    """

    basis: str
    parts: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes on the device."""
        return sum(size for name, size in self.parts.items() if name != "host")

    def __str__(self) -> str:
        rows = [("storage", self.basis), *((n, _size(size)) for n, size in self.parts.items())]
        rows.append(("on the device", _size(self.total)))
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def estimate_memory(
    model: object,
    shape: Sequence[int],
    config: ClusCaConfig | None = None,
    *,
    num_steps: int | None = 50,
    adapter: BlockAdapter | None = None,
    dtype: torch.dtype | None = None,
    **inputs: Any,
) -> Memory:
    """What memory a cache will take for one branch of guidance of a pipeline's first transformer.

    Each branch that a pipeline calls apart takes as much, and each of its transformers. Modulation
    that is planned for coming steps, at most 128 MiB, comes on top, as do labels of tokens, text
    that is kept for masks, and what a step allocates for its own length.

    Args:
        model: The model or pipeline, on any device, ``"meta"`` too.
        shape: Of what the model denoises, as it is given it: [B, C, H, W] and the like, or tokens
            [B, N, C]. Of a model that a ``BlockAdapter`` describes, its stream's [B, N, D].
        config: What to do; default: ``ClusCaConfig()``.
        num_steps: Steps of a run whose timesteps are known; None: they are not.
        adapter: As in ``enable_cache``.
        dtype: Of the stream; default: that of most of the model's parameters.
        inputs: Other inputs of the model, by name, where they say how long streams are: text of
            FLUX.2 and Z-Image. May be on ``"meta"``.

    Returns:
        Bytes of every part.

    Raises:
        ValueError: The model is not supported, or an argument does not fit.
    """
    config = ClusCaConfig() if config is None else config
    if num_steps is not None:
        integer("num_steps", num_steps, 1)
    transformer = transformers_of(model)[0]
    correction = Correction.of(config.corrector)
    fitting = Fitting(partial(describe, transformer, adapter), config, correction)
    description, installed = fitting.description, fitting.installed
    dtype = dtype or most_of(transformer)
    shapes = _shapes(description, shape, inputs)
    kept = _per_block if config.storage == "per_block" else _of_lean
    memory = kept(config, installed, shapes, num_steps, dtype)
    looked_at = seen(config, shapes, dtype)
    return Memory(memory.basis, memory.parts | looked_at)


def most_of(model: nn.Module) -> torch.dtype:
    """Some parameters stay in float32 where a model is loaded in a lower precision."""
    counts: Counter[torch.dtype] = Counter()
    for parameter in model.parameters():
        if parameter.is_floating_point():
            counts[parameter.dtype] += parameter.numel()
    return counts.most_common(1)[0][0]


def _shapes(description: ModelDescription, shape: Sequence[int], inputs: Any) -> list[Shape]:
    for size in shape:
        integer("every size of shape", size, 1)
    latents = torch.empty(tuple(shape), device="meta")
    try:
        found = description.shapes((latents,), inputs)
    except (ValueError, IndexError, TypeError, RuntimeError, AttributeError) as error:
        name = type(description.model).__name__
        raise ValueError(
            f"shape must be that of {name}'s latents, beside inputs it needs to know its streams, "
            f"got {list(shape)} and {sorted(inputs)}: {error}"
        ) from None
    if found is not None:
        return found
    if len(shape) != 3:
        raise ValueError(f"shape must be the stream's [B, N, D], got {list(shape)}")
    B, N, D = shape
    return [(B, N, D)] * len(description.blocks)


def _per_block(
    config: ClusCaConfig,
    installed: Installation,
    shapes: Sequence[Shape],
    num_steps: int | None,
    dtype: torch.dtype,
) -> Memory:
    kept = sum(prod(shapes[block]) for block, _ in installed.modules) * dtype.itemsize
    parts = {"outputs": kept * (config.forecaster.order + 1)}
    decide = config.schedule.start(num_steps)
    known = num_steps is not None and installed.description.conditions is not None
    if known and num_steps is not None and isinstance(decide, ByIndex):
        longest = longest_interval(decide, num_steps)
        if delta_only(config.corrector):
            firsts = [
                shapes[installed.blocks.index(b[0])] for _, b in installed.blocks_by_segment()
            ]
            parts["sums of coming steps"] = sum(longest * prod(each) * 4 for each in firsts)
    return Memory("per_block", parts)


def _of_lean(
    config: ClusCaConfig,
    installed: Installation,
    shapes: Sequence[Shape],
    num_steps: int | None,
    dtype: torch.dtype,
) -> Memory:
    asked = config.storage if isinstance(config.storage, LeanStorage) else LeanStorage()
    description, segments = installed.description, installed.blocks_by_segment()
    decide, past = config.schedule.start(num_steps), Past(config.forecaster)
    if isinstance(decide, ByIndex) and num_steps is not None:
        past = Course(decide, 0, num_steps, config.forecaster)
    groups = 1 if description.groups is None else 2
    known = num_steps is not None and (description.conditions is not None or groups > 1)
    basis = asked.basis
    fits = isinstance(past, Course) or (
        bool(getattr(decide, "max_interval", 0)) and basis != "exact"
    )
    if basis == "auto":
        basis = "window" if known and fits else "gated"
        basis = "shared-emb" if basis == "gated" and shares_gates(installed.blocks) else basis
    if basis == "shared-emb" or not (known and fits):
        require(basis, "they are not", installed.blocks)
    firsts = [shapes[installed.blocks.index(blocks[0])] for _, blocks in segments]
    rank = rank_of(asked, past.order)
    added = [1] * len(segments)
    if basis == "exact" and isinstance(past, Course):
        added = [Exact.count(past)] * len(segments)
    elif basis == "window":
        added = [Window.count(past, rank) if isinstance(past, Course) else int(rank)] * len(
            segments
        )
    elif basis == "shared-emb":
        added = [SharedParts(blocks).count for _, blocks in segments]
    slots = past.order + 1
    how = slots, dtype, basis == "exact", asked.offload
    sums = [
        sums_of(shape, [(0, C)], *how, f"segment {index}")
        for index, (shape, C) in enumerate(zip(firsts, added, strict=True))
    ]
    carried = [key for key, module in installed.modules.items() if module.carried]
    rows = None
    corrector = config.corrector
    if carried and isinstance(corrector, ClusterCorrector):
        shape = shapes[carried[0][0]]
        count = min(corrector.num_clusters, shape[1])
        features = [LeanFeature() for _ in carried]
        of = cells((shape[1],), count), count, dtype, corrector.every
        rows = Rows(past, features, shape, *of)
    parts = _by_kind(Room(sums, rows))
    if asked.offload:
        parts["host"] = sum(each.host_bytes() for of_segment in sums for each in of_segment)
    if basis in ("exact", "window") and num_steps is not None:
        B, _, D = shapes[0]
        each = (B if description.conditioned else 1) * len(installed.modules) * D
        parts["gates"] = groups * num_steps * each * (description.gate_dtype or dtype).itemsize
    return Memory(f"lean, {basis}", parts)


def _by_kind(room: Room) -> dict[str, int]:
    parts: dict[str, int] = {}
    for name, each in room.wanted().items():
        kind = {"rows": "representatives"}.get(name.split()[-1], name.split()[-1])
        parts[kind] = parts.get(kind, 0) + size_of({name: each})
    return parts


def _size(size: int) -> str:
    return f"{size / 2**30:.3f} GiB" if size >= 2**27 else f"{size / 2**20:.2f} MiB"
