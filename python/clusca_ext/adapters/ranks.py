"""Ranks that share the tokens of one model: diffusers' context parallelism.

Its hooks give every rank a part of the tokens, one after the other: what is cached is of a rank's
own tokens, and what a schedule sees is of them alone.
"""

from typing import Any

import torch
from torch import nn


def group_of(model: nn.Module) -> Any:
    """The process group of the ranks that share a model's tokens; None: it has all of them."""
    parallel = getattr(model, "_parallel_config", None)  # diffusers' own name
    config = getattr(parallel, "context_parallel_config", None)
    return None if config is None else config._flattened_mesh.get_group()


def tokens_of(model: nn.Module, count: int) -> int:
    """How many of a stream's tokens are this rank's: the first ranks have one more, if need be."""
    group = group_of(model)
    if group is None:
        return count
    ranks, rank = torch.distributed.get_world_size(group), torch.distributed.get_rank(group)
    return count // ranks + (rank < count % ranks)


def grid_of(model: nn.Module, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of the grid that this rank's tokens lie on; empty where a row of it is cut."""
    group = group_of(model)
    if group is None or not grid:
        return grid
    first, left = divmod(grid[0], torch.distributed.get_world_size(group))
    return () if left else (first, *grid[1:])
