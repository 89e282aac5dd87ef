"""diffusers' FramePack: ``HunyuanVideoFramepackTransformer3DModel``, image to video, by sections.

HunyuanVideo's blocks. In front of the latents' tokens its stream has those of earlier frames, in
patches that are larger the older the frames are; they are forecast and clustered as the latents'.
"""

import dataclasses
from typing import Any

from clusca_ext.adapters import hunyuan_video
from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.adapters.inputs import named_input

MODEL = "HunyuanVideoFramepackTransformer3DModel"
PATCHES = {
    "latents_clean": (1, 2, 2),
    "latents_history_2x": (2, 4, 4),
    "latents_history_4x": (4, 8, 8),
}


INDICES = tuple(
    f"indices_latents{of}" for of in ("", "_clean", "_history_2x", "_history_4x")
)  # of frames, the same for all rows


def describe(model: Any) -> ModelDescription:
    described = hunyuan_video.describe(model)
    of_latents = described.stream_shape
    assert of_latents is not None
    history = [(named_input(model, name), size) for name, size in PATCHES.items()]

    def stream_shape(args: Args, kwargs: Kwargs) -> tuple[int, int, int]:
        B, N, D = of_latents(args, kwargs)
        return B, earlier(args, kwargs) + N, D

    def earlier(args: Args, kwargs: Kwargs) -> int:
        given = [(find(args, kwargs), size) for find, size in history]
        return sum(_padded_patches(f.shape[2:], size) for f, size in given if f is not None)

    return dataclasses.replace(
        described,
        stream_shape=stream_shape,
        around=lambda args, kwargs: (earlier(args, kwargs), 0),
        for_all=INDICES,
    )


def _padded_patches(sides: tuple[int, ...], size: tuple[int, ...]) -> int:
    """Patches of frames that are padded to whole ones."""
    count = 1
    for side, patch in zip(sides, size, strict=True):
        count *= -(-side // patch)
    return count
