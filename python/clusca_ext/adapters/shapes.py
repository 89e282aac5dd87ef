"""Shapes of streams, from what a model is given."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs


def patches(
    latents: Callable[[Args, Kwargs], Any], size: tuple[int, ...], channels: int
) -> Callable[[Args, Kwargs], tuple[int, int, int]]:
    """Shape of a stream of patches, from latents [B, C, ...] and the patches' size."""

    grid = patch_grid(latents, size)

    def shape(args: Args, kwargs: Kwargs) -> tuple[int, int, int]:
        return len(latents(args, kwargs)), math.prod(grid(args, kwargs)), channels

    return shape


def patch_grid(
    latents: Callable[[Args, Kwargs], Any], size: tuple[int, ...]
) -> Callable[[Args, Kwargs], tuple[int, ...]]:
    """Patches along each side, from latents [B, C, ...] and the patches' size."""

    def grid(args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        sides = latents(args, kwargs).shape[2:]
        return tuple(side // patch for side, patch in zip(sides, size, strict=True))

    return grid


def position_grid(
    positions: Callable[[Args, Kwargs], Tensor | None],
) -> Callable[[Args, Kwargs], tuple[int, ...]]:
    """Rows and columns, from the tokens' positions [N, 3], whose last two these are. Read on the
    host."""

    def grid(args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        given = positions(args, kwargs)
        if given is None or given.numel() == 0:
            return ()
        last: list[int] = given[..., 1:3].flatten(0, -2).amax(0).int().tolist()
        return tuple(side + 1 for side in last)

    return grid


def tokens(
    latents: Callable[[Args, Kwargs], Any], channels: int
) -> Callable[[Args, Kwargs], tuple[int, int, int]]:
    """Shape of a stream whose latents are tokens already, [B, N, C]."""

    def shape(args: Args, kwargs: Kwargs) -> tuple[int, int, int]:
        B, N, _ = latents(args, kwargs).shape
        return B, N, channels

    return shape
