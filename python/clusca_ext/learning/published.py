"""Routers that Learning-to-Cache published (arXiv 2406.01733), read without unpickling them."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from clusca_ext.learning.routers import Routers
from clusca_ext.learning.torch_archive import read_archive

DIT_THETA, UVIT_THETA = 0.1, 0.9  # the README's, for DiT-XL/2 at 256 and for U-ViT-H/2


def load_dit_routers(path: str | pathlib.Path) -> Routers:
    """The routers of a DiT: ``ckpt/DDIM20_router.pt`` or ``DDIM50_router.pt``.

    The file's vector i is of the i-th step from the end of the run, T steps long. Even ones are
    trained, and theirs are the cached steps; odd ones are full and hold what they began with.
    Masks are those of ``routers.schedule(theta=0.1)``.

    Raises:
        ValueError: The file is not of that layout.
    """
    vectors = _vectors(path)
    T = len(vectors)
    steps = {T - 1 - index: vectors[index] for index in range(0, T, 2)}
    return _routers(T, steps)


def load_uvit_routers(path: str | pathlib.Path) -> Routers:
    """The routers of a U-ViT: ``ckpt/dpm20_router.pth`` or ``dpm50_router.pth``.

    Its sampler is a solver that calls the model twice an interval, T times in all; the file's
    vector i is of the first call of interval i, from noise on. The first interval's is not used,
    nor are those beyond the last interval; every second call is full. Masks are those of
    ``routers.schedule(theta=0.9)``.

    Raises:
        ValueError: The file is not of that layout.
    """
    vectors = _vectors(path)
    T = len(vectors)
    steps = {2 * index: vectors[index] for index in range(1, T // 2)}
    return _routers(T, steps)


def _vectors(path: str | pathlib.Path) -> list[Tensor]:
    """The file's vectors of logits, in its order. [2 L] each"""
    found: Any = read_archive(path)
    if isinstance(found, Mapping) and "routers" in found:
        found = found["routers"]
    if isinstance(found, Mapping):
        names = [re.fullmatch(r"(?:routers\.)?(\d+)\.prob", str(name)) for name in found]
        order = [int(name[1]) for name in names if name]
        if len(order) != len(found) or sorted(order) != list(range(len(order))):
            raise ValueError(
                f"{path} must hold routers named '0.prob', '1.prob' and so on, got "
                f"{list(found)[:4]}"
            )
        found = [found[name] for _, name in sorted(zip(order, found, strict=True))]
    vectors: Sequence[Any] = found if isinstance(found, (list, tuple)) else ()
    shapes = {tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__ for v in vectors}
    shape = next(iter(shapes), None)
    if len(shapes) != 1 or not isinstance(shape, tuple) or len(shape) != 1 or shape[0] % 2:
        raise ValueError(
            f"{path} must hold vectors of two numbers for every block, all of one length, got "
            f"{sorted(map(str, shapes))}"
        )
    if len(vectors) % 2 or len(vectors) < 4:
        raise ValueError(
            f"{path} must hold one vector for each of an even number of steps of 4 or "
            f"more, got {len(vectors)}"
        )
    floats = [vector.float() for vector in vectors]
    if not all(bool(vector.isfinite().all()) for vector in floats):
        raise ValueError(f"{path} must hold finite numbers, got others")
    return floats


def _routers(num_steps: int, steps: Mapping[int, Tensor]) -> Routers:
    """Routers with these logits [2 L] by step: attention of block 0, its MLP, and so on."""
    length = len(next(iter(steps.values())))
    keys = [(index // 2, ("attn", "mlp")[index % 2]) for index in range(length)]
    routers = Routers(keys, keys, num_steps, sorted(steps))
    with torch.no_grad():
        for step, vector in steps.items():
            routers.of_step(step).copy_(vector)
    return routers
