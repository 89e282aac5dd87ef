"""diffusers' Wan VACE: ``WanVACETransformer3DModel``, video edited under control.

Wan's blocks. Before them the control runs through blocks of its own, each of which returns a hint,
which the model adds after one of Wan's. The control blocks are cached as the others; what makes a
hint of their stream is linear, and runs at every step.
"""

import dataclasses
from typing import Any

from torch import Tensor

from clusca_ext.adapters import wan
from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import blocks_of

MODEL = "WanVACETransformer3DModel"


def describe(model: Any) -> ModelDescription:
    described = wan.describe(model)
    first, *others = described.blocks
    control = [_control(block) for block in blocks_of(model.vace_blocks)]
    # The first of Wan's blocks no longer runs first, but the model's own tokens are its input.
    first = dataclasses.replace(first, keeps_stream=True)
    rows = named_input(control[0].block, "temb")
    return dataclasses.replace(
        described,
        blocks=(*control, first, *others),
        for_all=("control_hidden_states_scale",),
        embeddings={**described.embeddings, "projected timestep": rows},
    )


def _control(block: Any) -> BlockDescription:
    """As Wan's block, with the control for its stream; the first one adds the latents to it."""
    described = wan.describe_wan_block(block)
    control = named_input(block, "control_hidden_states")

    def stream(args: Args, kwargs: Kwargs) -> Tensor:
        x: Tensor = control(args, kwargs)
        if block.proj_in is not None:
            x = block.proj_in(x) + described.stream(args, kwargs)
        return x

    def returns(x: Tensor, args: Args, kwargs: Kwargs) -> tuple[Tensor, Tensor]:
        x = described.returns(x, args, kwargs)
        return block.proj_out(x), x

    return dataclasses.replace(
        described,
        stream=stream,
        returned=lambda output: output[1],
        returns=returns,
        hands_on=False,  # hints are made of it too
    )
