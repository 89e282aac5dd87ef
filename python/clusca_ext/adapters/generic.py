"""Blocks of a user's own: the adapter is made of the names of what a block holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    Modulation,
    ModuleDescription,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.norms import check_norm

_LISTS = (nn.ModuleList, nn.Sequential, list, tuple)


@dataclass(frozen=True, kw_only=True)
class BlockAdapter:
    """Describes a model whose blocks are ``x = x + gate * module(norm(x) * (1 + scale) + shift)``.

    Such a block takes the stream [B, N, D] as its first positional input and returns it; the
    modules named here are its residual updates in order, each called with the tokens alone.

    Attributes:
        blocks: Path of the ``ModuleList`` of blocks in the model, such as ``"blocks"``; or paths
            of lists and of single blocks, in the order in which they are called.
        attention: Names of the attention modules in a block.
        mlp: Names of the MLPs in a block; representatives are computed in these.
        norms: The norm in front of each module, by the module's name; missing: none.
        modulation: ``modulation(block, x, *args, **kwargs)`` with the block's further inputs
            returns ``(shift, scale, gate)`` for each module, in the order of ``attention`` and
            ``mlp`` as they stand in ``order``; each is [B, D], [B, 1, D], [B, N, D] or None.
        order: Order of the modules in the block; default: ``attention``, then ``mlp``.
        timestep: Name of the timestep among the model's inputs, or its position; None: the model
            has none, and the cache must be told the run's steps.
        latents: Name or position of what is denoised. Everything beside it and the timestep is
            taken for conditions.
        keeps_stream: The blocks whose input the model reads again later, as U-ViT does for its long
            skips: their indices, or True for all. Such an input is copied, else a cached step
            would change it.
        enter: ``enter(block, *args, **kwargs)`` with all the block's inputs returns the stream that
            its first module updates; default: the first input. It is computed for all tokens on
            cached steps too.
        grid: ``grid(*args, **kwargs)`` with the model's inputs returns the sides of the grid that
            its tokens lie on, the slowest first; ``(N,)`` where they are in a line. A
            ``FrequencyForecaster`` needs it.
        hands_on: The model gives what a block returns to the next block and to nothing else, at
            most with something added, and ``modulation`` reads neither values of ``x`` nor gives
            gates that differ by token. A cached step then passes over the stream once, at the end
            of the last block, instead of twice a block.

    Example:
        A block as in facebookresearch/DiT::

            BlockAdapter(
                blocks="blocks",
                attention=("attn",),
                mlp=("mlp",),
                norms={"attn": "norm1", "mlp": "norm2"},
                modulation=lambda block, x, c: unflatten(block.adaLN_modulation(c)),
                timestep=1,
            )

        Those of U-ViT, which begin with a projection of the stream and an earlier one::

            BlockAdapter(
                blocks=("in_blocks", "mid_block", "out_blocks"),
                norms={"attn": "norm1", "mlp": "norm2"},
                modulation=lambda block, x, skip=None: [(None, None, None)] * 2,
                enter=lambda block, x, skip=None: (
                    x if skip is None else block.skip_linear(torch.cat([x, skip], dim=-1))
                ),
                keeps_stream=True,
                timestep="timesteps",
            )
    """

    blocks: str | tuple[str, ...]
    modulation: Callable[..., Sequence[Sequence[Tensor | None]]]
    attention: tuple[str, ...] = ("attn",)
    mlp: tuple[str, ...] = ("mlp",)
    norms: dict[str, str] | None = None
    order: tuple[str, ...] | None = None
    timestep: str | int | None = None
    latents: str | int = 0
    keeps_stream: bool | tuple[int, ...] = False
    enter: Callable[..., Tensor] = lambda block, x, *args, **kwargs: x
    hands_on: bool = False
    grid: Callable[..., tuple[int, ...]] | None = None

    def __post_init__(self) -> None:
        for field, value in (("attention", self.attention), ("mlp", self.mlp)):
            if not isinstance(value, tuple) or not all(isinstance(name, str) for name in value):
                raise ValueError(f"{field} must be a tuple of names, got {value!r}")
        if self.hands_on and self.keeps_stream:
            raise ValueError(
                "hands_on must be False where the model reads blocks' inputs again, got "
                f"keeps_stream={self.keeps_stream!r}"
            )
        names = (*self.attention, *self.mlp)
        if not names or len(set(names)) != len(names):
            raise ValueError(f"attention and mlp must name modules, each once, got {list(names)}")
        if self.order is not None and sorted(self.order) != sorted(names):
            raise ValueError(
                f"order must hold the names of attention and mlp, got {list(self.order)} for "
                f"{list(names)}"
            )
        for name in self.norms or {}:
            if name not in names:
                raise ValueError(f"norms must be of {list(names)}, got one of {name!r}")

    def describe(self, model: nn.Module) -> ModelDescription:
        """Describe a model.

        Raises:
            ValueError: A name is not found in the model, or a norm is not supported.
        """
        found = self._found(model)
        count, keeps = len(found), self.keeps_stream
        kept = range(count if keeps else 0) if isinstance(keeps, bool) else keeps
        for index in kept:
            if index not in range(count):
                raise ValueError(f"keeps_stream must name some of {count} blocks, got {index!r}")
        return ModelDescription(
            model=model,
            blocks=tuple(
                self._block(getattr(block, "_orig_mod", block), index in kept)
                for index, block in enumerate(found)
            ),
            latents=named_input(model, self.latents),
            timestep=None if self.timestep is None else named_input(model, self.timestep),
            grid=None if self.grid is None else self._sides,
        )

    def _sides(self, args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        assert self.grid is not None
        return tuple(self.grid(*args, **kwargs))

    def _found(self, model: nn.Module) -> list[Any]:
        """The model's blocks, in order."""
        if isinstance(self.blocks, str):
            found = _attribute(model, self.blocks, "blocks")
            if not isinstance(found, _LISTS) or not len(found):
                raise ValueError(
                    f"blocks must name a list of blocks, got {found!r} at {self.blocks!r}"
                )
            return list(found)
        parts = [_attribute(model, path, "blocks") for path in self.blocks]
        every = [each for part in parts for each in (part if isinstance(part, _LISTS) else [part])]
        if not every or not all(isinstance(each, nn.Module) for each in every):
            raise ValueError(
                f"blocks must name lists of blocks, or blocks, got {parts!r} at {self.blocks!r}"
            )
        return every

    def _block(self, block: nn.Module, keeps_stream: bool) -> BlockDescription:
        order = self.order or (*self.attention, *self.mlp)

        def entered(args: Args, kwargs: Kwargs) -> Tensor:
            return self.enter(block, *args, **kwargs)

        def modulation(x: Tensor, args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
            given = self.modulation(block, x, *args[1:], **kwargs)
            if len(given) != len(order):
                raise ValueError(
                    f"modulation must return (shift, scale, gate) for each of {list(order)}, "
                    f"got {len(given)}"
                )
            return [Modulation(shift, scale, gate) for shift, scale, gate in given]

        modules = tuple(self._module(block, name) for name in order)
        return BlockDescription(
            block=block,
            modules=modules,
            modulation=modulation,
            stream=entered,
            keeps_stream=keeps_stream,
            hands_on=self.hands_on,
        )

    def _module(self, block: nn.Module, name: str) -> ModuleDescription:
        module = _attribute(block, name, f"module {name!r} of a block")
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"module {name!r} of a block must be a torch.nn.Module, got {module!r}"
            )
        norm_name = (self.norms or {}).get(name)
        norm = _attribute(block, norm_name, f"norm of {name!r}") if norm_name else None
        check_norm(norm, f"module {name!r}")
        return ModuleDescription(
            name=name,
            module=module,
            norm=norm,
            represents=name in self.mlp,
            call=lambda tokens, args, kwargs: module(tokens),
        )


def _attribute(owner: Any, path: str, what: str) -> Any:
    for name in path.split("."):
        if not hasattr(owner, name):
            raise ValueError(f"{what}: {type(owner).__name__} has no {name!r} (in {path!r})")
        owner = getattr(owner, name)
    return owner
