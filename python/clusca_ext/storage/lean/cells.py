"""Cells of a token grid: clusters for steps before which no tokens have been clustered."""

import math

import torch
from torch import Tensor

from clusca_ext.storage.constants import moved
from clusca_ext.storage.run import Run


def cells_of(run: Run, N: int, count: int) -> Tensor:
    """The cells of a run's N tokens, on its device. int32 [N]"""
    grid = run.description.grid_of(N, run.args, run.kwargs)
    return moved(cells(grid, count), run.like.device)


def cells(grid: tuple[int, ...], count: int) -> Tensor:
    """The cell of every token, about equally many in each.

    Args:
        grid: Tokens along each side, the slowest first.
        count: Cells, at most as many as tokens.

    Returns:
        int32 [N]
    """
    parts = [1] * len(grid)
    for prime in sorted(_primes(count), reverse=True):  # the longest side is cut
        sides = [
            side / part if side >= part * prime else 0
            for side, part in zip(grid, parts, strict=True)
        ]
        longest = max(range(len(grid)), key=sides.__getitem__)
        if not sides[longest]:
            return _strips(math.prod(grid), count)
        parts[longest] *= prime
    ids = torch.zeros(1, dtype=torch.int64, device="cpu")
    for side, part in zip(grid, parts, strict=True):
        along = torch.arange(side, device="cpu") * part // side
        ids = (ids.unsqueeze(-1) * part + along).flatten()
    return ids.int()


def _strips(N: int, count: int) -> Tensor:
    return (torch.arange(N, device="cpu") * count // N).int()


def _primes(number: int) -> list[int]:
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found
