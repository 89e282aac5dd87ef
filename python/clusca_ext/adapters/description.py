"""What an adapter says of a model: its blocks, their modules, and nothing about how to run them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from clusca_ext.adapters import ranks
from clusca_ext.adapters.module import Args as Args
from clusca_ext.adapters.module import Kwargs as Kwargs
from clusca_ext.adapters.module import ModuleDescription as ModuleDescription
from clusca_ext.adapters.module import whole as whole


class Modulation(NamedTuple):
    """What a block's conditioning does to one module: ``x += gate * module(norm(x) * (1 + scale) +
    shift)``. Each is [B, D], [B, 1, D], per token [B, N, D], or None.

    Per token, it can be given unmade, for only gates are asked of every token: by the tokens'
    kinds, by a table, or both. Plans are of the first three alone.

    Attributes:
        shift: Added to what the module reads.
        scale: Multiplied into it before, as ``1 + scale``.
        gate: Multiplied into what the module returns.
        kinds: Kind of every token; the three above are those of the R kinds, [B, R, D].
            [B or 1, N] int64
        table: Added to shift, scale and gate, of which the three above are [B, N or R, D]. [3, D]
    """

    shift: Tensor | None = None
    scale: Tensor | None = None
    gate: Tensor | None = None
    kinds: Tensor | None = None
    table: Tensor | None = None


def first_input(args: Args, kwargs: Kwargs) -> Tensor:
    stream: Tensor = args[0]
    return stream


@dataclass(frozen=True, kw_only=True)
class SharedGates:
    """Gates of a block, each a vector of its own plus one that all blocks of the model share.

    Attributes:
        own: The block's vectors, for each of its modules [D]; None: it has none.
        rows: What all blocks share at a step, by name, from the block's inputs: [B, D], [B, 1, D]
            or, per token, [B, N, D].
        of: The name of each module's; None: it has none. With neither, it has no gate.
    """

    own: Callable[[], Sequence[Tensor | None]]
    rows: Callable[[Args, Kwargs], Mapping[str, Tensor]]
    of: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True)
class TokenGroups:
    """Tokens in groups, one behind the other, each with a modulation of its own.

    Attributes:
        sizes: Says from the model's inputs how many tokens each group has.
        conditions: As in ``ModelDescription``.
        embed: The same, for each group: what the blocks' ``plan`` begins with.
    """

    sizes: Callable[[Args, Kwargs], tuple[int, ...]]
    conditions: Callable[[Args, Kwargs], tuple[Tensor, ...] | None]
    embed: Callable[[Tensor, tuple[Tensor, ...], torch.dtype], Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class BlockDescription:
    """A block of the model.

    Attributes:
        block: The block, whose forward is substituted on cached steps.
        modules: Its cached modules, in the order of their residual updates.
        modulation: One ``Modulation`` for each of them, from the stream and the block's inputs.
        stream: Finds the stream [B, N, D] among the block's inputs.
        returned: Finds it in what the block returns.
        returns: What the block returns, from the new stream and its inputs.
        plan: The same for many steps at once, each tensor [S, B, D] or, where rows do not differ,
            [S, 1, D], from what the model's ``embed`` returns; None: it cannot be known beforehand.
        shared: Its gates, where they are sums of a vector of its own and one all blocks share;
            None: they are not.
        keeps_stream: The model reads this block's input again later (long skips): it is copied.
        hands_on: The model gives the stream this block returns to the next block, as it is or with
            something added, and to nothing else: what the block adds to it may be added later.
        clips: Streams in float16 are clipped to what that holds.
        beside: Tokens that its stream has beside those of the model's ``stream_shape``, such as
            text, from the model's inputs.
        reads: What is given the block's modulated input; None: its first module.
        other: Name of the input that holds another stream, such as text, which blocks update and
            hand on, and cached steps do not; None: there is none. Where it has tokens ``beside``
            the stream's own, in front of them, only these are of the other.
    """

    block: nn.Module
    modules: tuple[ModuleDescription, ...]
    modulation: Callable[[Tensor, Args, Kwargs], Sequence[Modulation]]
    stream: Callable[[Args, Kwargs], Tensor] = first_input
    returned: Callable[[Any], Tensor] = whole
    returns: Callable[[Tensor, Args, Kwargs], Any] = whole
    plan: Callable[[Any], Sequence[Modulation]] | None = None
    shared: SharedGates | None = None
    keeps_stream: bool = False
    hands_on: bool = False
    clips: bool = False
    beside: Callable[[Args, Kwargs], int] = lambda args, kwargs: 0
    reads: nn.Module | None = None
    other: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """A model, as far as a cache must know it.

    Attributes:
        model: The module that is called once a step.
        blocks: Its blocks, in order.
        latents: Finds what is denoised among the model's inputs.
        timestep: Finds the timestep among the model's inputs; None: it has none.
        stream_shape: Says from the model's inputs which shape [B, N, D] the stream will have, so
            that the cache is allocated before the first step; None: it is allocated during it.
        grid: Says from the model's inputs which sides the grid of its tokens has; None: not known.
        around: Says from the model's inputs how many tokens lie in front of that grid in a stream
            of ``stream_shape``, and how many behind it, such as those of given images; they are
            beside what blocks have ``beside``.
        for_all: Names of inputs that hold no row for each batch row, however long they are.
        by_block: Names of inputs that are lists of one entry a block, each of all batch rows.
        by_token: Says from the model's inputs whether modulation differs by token.
        leaves_out: Says from the model's inputs whether some blocks are left out of this
            call: it is run as it is, and is no step.
        groups: Groups of tokens within which modulation does not differ, where by_token says it
            does; None: they are not known.
        sources: Named places after which tokens can be clustered: name to index of the block.
        pairs: Says from the pipeline and the inputs of a run's first step how batch rows pair up
            under guidance: the names of equal, contiguous groups, one of them ``"cond"``. Only
            asked for where a pipeline makes the calls.
        conditions: Finds the inputs that modulation depends on beside the timestep; None: it
            depends on what is only known at its step, and is not planned. Where it returns None,
            that step is not. Plans need ``stream_shape``.
        conditioned: Whether modulation differs by batch row, as it does by pooled text or class.
        gate_dtype: Of planned gates; None: the stream's.
        embed: What the blocks' ``plan`` begins with, from timesteps [S] as the model is given them,
            the conditions and the dtype of the stream.
        given_timestep: What the model is given for a timestep of the scheduler, in the dtype given.
        embeddings: Where the timestep's embedding is, by the kind of ``Signal`` that asks for it: a
            module that returns it, called before the blocks, or a function that finds it among the
            first block's inputs.
    """

    model: nn.Module
    blocks: tuple[BlockDescription, ...]
    latents: Callable[[Args, Kwargs], Any]
    timestep: Callable[[Args, Kwargs], Tensor | float | None] | None
    stream_shape: Callable[[Args, Kwargs], tuple[int, int, int]] | None = None
    grid: Callable[[Args, Kwargs], tuple[int, ...]] | None = None
    around: Callable[[Args, Kwargs], tuple[int, int]] = lambda args, kwargs: (0, 0)
    for_all: tuple[str, ...] = ()
    by_block: tuple[str, ...] = ()
    by_token: Callable[[Args, Kwargs], bool] = lambda args, kwargs: False
    leaves_out: Callable[[Args, Kwargs], bool] = lambda args, kwargs: False
    groups: TokenGroups | None = None
    sources: Mapping[str, int] = field(default_factory=dict)
    pairs: Callable[[Any, Args, Kwargs], tuple[str, ...]] | None = None
    conditions: Callable[[Args, Kwargs], tuple[Tensor, ...] | None] | None = None
    conditioned: bool = True
    gate_dtype: torch.dtype | None = None
    embed: Callable[[Tensor, tuple[Tensor, ...], torch.dtype], Any] = lambda *inputs: inputs
    given_timestep: Callable[[Tensor, torch.dtype], Tensor] = torch.Tensor.to
    embeddings: Mapping[str, nn.Module | Callable[[Args, Kwargs], Tensor]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        places: dict[nn.Module, tuple[int, ModuleDescription]] = {}
        for index, block in enumerate(self.blocks):
            for each in block.modules:
                other, before = places.setdefault(each.module, (index, each))
                # Parts of what one module returns may be cached apart.
                apart = other == index and each.feature is not before.feature
                if before is not each and not apart:
                    raise ValueError(
                        f"module {each.name!r} of block {index} must be its own, got module "
                        f"{before.name!r} of block {other} again"
                    )

    def shapes(self, args: Args, kwargs: Kwargs) -> list[tuple[int, int, int]] | None:
        """Shape of every block's stream, on this rank; None: it is seen when modules return."""
        if self.stream_shape is None:
            return None
        B, N, D = self.stream_shape(args, kwargs)
        own = ranks.tokens_of(self.model, N)
        return [(B, own + self.tokens_beside(block, args, kwargs), D) for block in self.blocks]

    def tokens_beside(self, block: BlockDescription, args: Args, kwargs: Kwargs) -> int:
        """Those a block's stream has beside the model's, on this rank, from the model's inputs."""
        return ranks.tokens_of(self.model, block.beside(args, kwargs))

    def sides(self, args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        """The sides of the grid of this rank's tokens; empty where it is not known."""
        return () if self.grid is None else ranks.grid_of(self.model, self.grid(args, kwargs))

    def grid_of(self, N: int, args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        """The sides of the grid that N tokens lie on; one side where that is not known."""
        grid = self.sides(args, kwargs)
        return grid if math.prod(grid) == N else (N,)

    def source(self, name: int | str) -> int:
        """Index of the block after which tokens are clustered."""
        named = {"last": len(self.blocks) - 1, **self.sources}
        index = named.get(name, name) if isinstance(name, str) else name
        if isinstance(index, str) or not -len(self.blocks) <= index < len(self.blocks):
            raise ValueError(
                f"source must be one of {list(named)} or the index of one of "
                f"{len(self.blocks)} blocks, got {name!r}"
            )
        return index % len(self.blocks)
