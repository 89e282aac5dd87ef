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
    """Rows and columns of the first image, from the tokens' positions: of an image, a row, a
    column. Read on the host."""

    def grid(args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        given = _of_first_row(positions(args, kwargs))
        if given is None:
            return ()
        last: list[int] = given[_of_first_image(given), 1:3].amax(0).int().tolist()
        return tuple(side + 1 for side in last)

    return grid


def behind_first(
    positions: Callable[[Args, Kwargs], Tensor | None],
) -> Callable[[Args, Kwargs], tuple[int, int]]:
    """How many tokens lie in front of the first image and behind it, from their positions, as
    above: those of given images are of other ones."""

    def around(args: Args, kwargs: Kwargs) -> tuple[int, int]:
        given = _of_first_row(positions(args, kwargs))
        return (0, 0) if given is None else (0, int((~_of_first_image(given)).sum()))

    return around


def _of_first_row(positions: Tensor | None) -> Tensor | None:
    """Of the batch's first row, if they are given for each. [N, 3 or 4]"""
    if positions is None or positions.numel() == 0:
        return None
    return positions if positions.ndim == 2 else positions[0]


def _of_first_image(positions: Tensor) -> Tensor:
    """Which tokens are of the same image as the first. bool [N]"""
    return positions[:, 0] == positions[0, 0]


def tokens(
    latents: Callable[[Args, Kwargs], Any], channels: int
) -> Callable[[Args, Kwargs], tuple[int, int, int]]:
    """Shape of a stream whose latents are tokens already, [B, N, C]."""

    def shape(args: Args, kwargs: Kwargs) -> tuple[int, int, int]:
        B, N, _ = latents(args, kwargs).shape
        return B, N, channels

    return shape
