"""Models and inputs with their channels last: patches come out of convolutions in another order."""

import pytest
import torch
from torch import nn

from clusca_ext import cache
from families_image import IMAGES
from families_video import VIDEOS
from family import Family, times
from small_dit import CLASSES, make_dit
from test_families import TIMES, run
from test_offload import CONFIG, cached

DIT = Family(
    name="DiTTransformer2DModel",
    make=make_dit,
    inputs=lambda noise, t: {
        "hidden_states": noise,
        "timestep": times(noise, t),
        "class_labels": torch.arange(len(noise)) % CLASSES,
    },
    noise=(2, 1, 16, 16),
    tokens=64,
    modules=(),
    mlps=(),
)
FORMATS = {nn.Conv2d: torch.channels_last, nn.Conv3d: torch.channels_last_3d}


def format_of(family):
    found = [m for m in family.make().modules() if type(m) in FORMATS]
    return FORMATS[type(found[0])] if found else None


FAMILIES = [family for family in (DIT, *IMAGES, *VIDEOS) if format_of(family) is not None]


def with_inputs(family, layout):
    """The family, whose latents come in that memory format, where they have its dimensions."""
    dims = 4 if layout is torch.channels_last else 5

    def inputs(noise, timestep):
        noise = noise.contiguous(memory_format=layout) if noise.dim() == dims else noise
        return family.inputs(noise, timestep)

    return Family(**{**vars(family), "inputs": inputs})


@pytest.mark.parametrize("before", [True, False], ids=["converted-first", "cached-first"])
@pytest.mark.parametrize("latents", [True, False], ids=["latents-too", "model-only"])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_channels_last(family, latents, before):
    layout, model = format_of(family), family.make()
    expected, plain = cached(family, model), run(family, model)
    given = with_inputs(family, layout) if latents else family
    if before:
        model.to(memory_format=layout)
    with cache(model, CONFIG, timesteps=TIMES):
        model.to(memory_format=layout)
        got = run(given, model)
    weights = [m.weight for m in model.modules() if type(m) in FORMATS]
    assert all(weight.is_contiguous(memory_format=layout) for weight in weights)
    for got_of, expected_of in ((got, expected), (run(given, model), plain)):
        for a, b in zip(got_of, expected_of, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
