"""What a family's tests need of it, and how tiny models of diffusers are made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Family:
    """A family, as its tests need it.

    Attributes:
        name: Class of the model.
        make: The model, in eval mode.
        inputs: Its keyword inputs, from noise of a seed and a timestep between 0 and 1000.
        noise: Shape of what is denoised.
        tokens: Tokens N of the stream.
        modules: Names of the cached modules, by block: what an oracle hooks.
        mlps: Those of them that representatives go through.
        gated: The modules are norms, called with a gate that multiplies what is cached.
        low_times: The model takes times in the precision of its weights only.
        grouped: So are its gates by groups of tokens, where it is not planned.
        planned: Modulation of steps whose timesteps are known is computed beforehand.
    """

    name: str
    make: Callable[[], nn.Module]
    inputs: Callable[[Tensor, float], dict[str, Any]]
    noise: tuple[int, ...]
    tokens: int
    modules: tuple[str, ...]
    mlps: tuple[str, ...]
    gated: bool = False
    low_times: bool = False
    grouped: bool = False
    planned: bool = True

    def __str__(self) -> str:
        return self.name


def fixed(*shape: int, seed: int = 7) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def model_of(name: str, **config) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import diffusers

        torch.manual_seed(0)
        return getattr(diffusers, name)(**config).eval()

    return make


def named(blocks: str, count: int, *modules: str) -> tuple[str, ...]:
    return tuple(f"{blocks}.{index}.{name}" for index in range(count) for name in modules)


def times(noise: Tensor, timestep: float) -> Tensor:
    return torch.full((len(noise),), timestep)
