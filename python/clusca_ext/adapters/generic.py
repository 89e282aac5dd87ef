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
    check_norm,
)


@dataclass(frozen=True, kw_only=True)
class BlockAdapter:
    """Describes a model whose blocks are ``x = x + gate * module(norm(x) * (1 + scale) + shift)``.

    Such a block takes the stream [B, N, D] as its first positional input and returns it; the
    modules named here are its residual updates in order, each called with the tokens alone.

    Attributes:
        blocks: Path of the ``ModuleList`` of blocks in the model, such as ``"blocks"``.
        attention: Names of the attention modules in a block.
        mlp: Names of the MLPs in a block; representatives are computed in these.
        norms: The norm in front of each module, by the module's name; missing: none.
        modulation: ``modulation(block, x, *args, **kwargs)`` with the block's further inputs
            returns ``(shift, scale, gate)`` for each module, in the order of ``attention`` and
            ``mlp`` as they stand in ``order``; each is [B, D], [B, 1, D], [B, N, D] or None.
        order: Order of the modules in the block; default: ``attention``, then ``mlp``.
        timestep: Name of the timestep among the model's keyword inputs, or its position among the
            positional ones; None: the model has none, and the cache must be told the run's steps.

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
    """

    blocks: str
    modulation: Callable[..., Sequence[Sequence[Tensor | None]]]
    attention: tuple[str, ...] = ("attn",)
    mlp: tuple[str, ...] = ("mlp",)
    norms: dict[str, str] | None = None
    order: tuple[str, ...] | None = None
    timestep: str | int | None = None

    def describe(self, model: nn.Module) -> ModelDescription:
        """Describe a model.

        Raises:
            ValueError: A name is not found in the model, or a norm is not supported.
        """
        found = _attribute(model, self.blocks, "blocks")
        blocks = [getattr(block, "_orig_mod", block) for block in found]
        if not blocks:
            raise ValueError(f"blocks must name a list of blocks, got an empty {self.blocks!r}")
        return ModelDescription(
            model=model,
            blocks=tuple(self._block(block) for block in blocks),
            timestep=None if self.timestep is None else self._timestep,
        )

    def _timestep(self, args: Args, kwargs: Kwargs) -> Tensor | float | None:
        if isinstance(self.timestep, int):
            return args[self.timestep] if self.timestep < len(args) else None
        return kwargs.get(str(self.timestep))

    def _block(self, block: nn.Module) -> BlockDescription:
        order = self.order or (*self.attention, *self.mlp)
        if sorted(order) != sorted((*self.attention, *self.mlp)):
            raise ValueError(
                f"order must hold the names of attention and mlp, got {list(order)} for "
                f"{[*self.attention, *self.mlp]}"
            )

        def modulation(x: Tensor, args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
            given = self.modulation(block, x, *args[1:], **kwargs)
            if len(given) != len(order):
                raise ValueError(
                    f"modulation must return (shift, scale, gate) for each of {list(order)}, "
                    f"got {len(given)}"
                )
            return [Modulation(*each) for each in given]

        modules = tuple(self._module(block, name) for name in order)
        return BlockDescription(block=block, modules=modules, modulation=modulation)

    def _module(self, block: nn.Module, name: str) -> ModuleDescription:
        module = _attribute(block, name, f"module {name!r} of a block")
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
