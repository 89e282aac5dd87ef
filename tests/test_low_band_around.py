"""Low frequencies where text, given images or earlier frames lie around the grid in a stream."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from clusca_ext import (
    FrequencyForecaster,
    LeanStorage,
    TaylorForecaster,
    cache,
)
from clusca_ext.adapters.shapes import behind_first, position_grid
from clusca_ext.cache import Cache
from clusca_ext.storage import filtered
from clusca_ext.storage.low_band import LowBand
from families_image import FLUX, FLUX2, Z_IMAGE, qwen
from families_video import VIDEOS, wan
from plain_forecasts import projector
from test_families import TIMES, run
from test_low_band import split

GATED = LeanStorage(basis="gated")
FRAMEPACK = next(family for family in VIDEOS if "Framepack" in family.name)


def beside_given(family, name, given=24):
    """To be edited: the tokens of a given image, of another size, follow those of the noise."""

    def inputs(noise, timestep):
        made = family.inputs(noise, timestep)
        places = torch.arange(given)
        ids = torch.zeros(given, made["img_ids"].shape[-1])
        ids[:, 0], ids[:, 1], ids[:, 2] = 1, places // 12, places % 12
        return {**made, "img_ids": torch.cat([made["img_ids"], ids])}

    B, N, C = family.noise
    noise, tokens = (B, N + given, C), family.tokens + given
    return dataclasses.replace(family, name=name, inputs=inputs, noise=noise, tokens=tokens)


def qwen_edit():
    """Without a timestep of their own for given images."""
    given, plain = qwen(edit=True), qwen(edit=False)
    return dataclasses.replace(given, name="Qwen-Image-Edit", make=plain.make)


AROUND = {  # the grid, and of every block how many tokens lie in front of it
    FLUX2: ((8, 8), (0, 0, 12, 12)),
    beside_given(FLUX, "FLUX.1-Kontext"): ((8, 8), (0,) * 4),
    beside_given(FLUX2, "FLUX.2-edit"): ((8, 8), (0, 0, 12, 12)),
    qwen_edit(): ((1, 8, 8), (0,) * 2),
    Z_IMAGE: ((1, 8, 8), (0,) * 2),
    FRAMEPACK: ((3, 4, 4), (FRAMEPACK.tokens - 48,) * 4),
}


ALONE = {FLUX: ((8, 8), (0,) * 4), wan(): ((3, 4, 4), (0,) * 2)}  # all tokens are the grid's


@pytest.mark.parametrize("family", ALONE | AROUND, ids=str)
def test_the_grid_alone_takes_low_frequencies(family):
    """Of every module; other tokens' outputs stay what they were."""
    model, (grid, begins) = family.make(), (ALONE | AROUND)[family]
    P, size, returned, kept = projector(grid, 0.4), math.prod(grid), {}, {}

    def look(step):
        if step == 3:
            features = Cache.of(model).branch.storage.features
            kept.update({key: each.factors.double() for key, each in features.items()})

    def keep(key, module):
        def hook(module, args, output):
            tokens = kept_tokens(key)
            found = modules[key].description.feature(output, tokens).double()
            returned.setdefault(key, []).append(found)

        return module.register_forward_hook(hook)

    def kept_tokens(key):
        return family.tokens + (12 if begins[key[0]] == 12 else 0)

    with cache(model, split(), timesteps=TIMES):
        modules = Cache.of(model).modules
        handles = [keep(key, each.module) for key, each in modules.items()]
        run(family, model, look)
        for handle in handles:
            handle.remove()
    assert {key[0] for key in kept} == set(range(len(begins)))
    for key, factors in kept.items():
        old, new = returned[key][:2]
        begin = begins[key[0]]
        grid_of = slice(begin, begin + size)
        expected = old.clone()
        expected[:, grid_of] -= P @ (old - new)[:, grid_of]
        assert family in ALONE or expected.shape[1] > size or begins[-1] != begin
        torch.testing.assert_close(factors[0], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(factors[1], new, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("storage", ["per_block", GATED], ids=["per block", "gated"])
@pytest.mark.parametrize("family", AROUND, ids=str)
def test_all_frequencies_low_is_reuse_of_what_is_read(family, storage):
    """Where nothing but the grid's tokens is read of what the last block returns."""
    model, runs, where = family.make(), [], AROUND[family]
    taylor = TaylorForecaster(bounded=False)
    for forecaster in (
        TaylorForecaster(order=0),
        FrequencyForecaster(forecaster=taylor, low_band=1.0),
        FrequencyForecaster(forecaster=taylor, low_band=0.4),
    ):
        config = dataclasses.replace(split(storage=storage), forecaster=forecaster)
        with cache(model, config):
            outputs = run(family, model)
        runs.append(torch.stack([read(output, where) for output in outputs]))
    reused, all_low, some_low = runs
    assert (all_low - reused).norm() <= 1e-5 * reused.norm()
    assert (some_low - reused).norm() > 1e-4 * reused.norm()


def read(output, where):
    """What pipelines read of an output: where it is tokens, those of the grid, which come first."""
    grid, _ = where
    return output[:, : math.prod(grid)] if output.ndim == 3 else output


def test_images_of_different_sizes_are_refused():
    def inputs(noise, timestep):
        given = Z_IMAGE.inputs(noise, timestep)
        return {**given, "x": [given["x"][0], given["x"][1][..., :8]]}

    family = dataclasses.replace(Z_IMAGE, inputs=inputs)
    message = (
        "the inputs of ZImageTransformer2DModel do not tell, got 0 tokens in front of it and 96"
    )
    model = family.make()
    with cache(model, split()), pytest.raises(ValueError, match=message):
        run(family, model)


def test_layers_that_are_drawn_at_once_are_refused():
    """Nothing says which of the images these are."""
    family = qwen_edit()
    model = family.make()
    model.register_to_config(use_layer3d_rope=True)
    with cache(model, split()), pytest.raises(ValueError, match="one grid of tokens, which is"):
        run(family, model)


@pytest.mark.parametrize("family", AROUND, ids=str)
def test_ranks_that_share_such_streams_are_refused(family, monkeypatch):
    monkeypatch.setattr(filtered, "ranks", SimpleNamespace(group_of=lambda model: "a group"))
    model = family.make()
    message = "must not be used where ranks share streams that hold text or given images, got such"
    with cache(model, split()), pytest.raises(ValueError, match=message):
        run(family, model)


def test_a_stream_that_the_grid_does_not_fill_is_refused():
    band = LowBand(0.4, (3, 4), torch.device("cpu"))
    band.place(17, front=3, behind=2)
    message = (
        r"one grid of tokens, which is \[3, 4\] by the model's inputs, with 3 tokens in front of "
        "it and 3 behind, got a stream of 17 tokens"
    )
    with pytest.raises(ValueError, match=message):
        band.place(17, front=3, behind=3)
    with pytest.raises(ValueError, match="with 0 tokens in front of it and 0 behind, got a stream"):
        band.share_(torch.zeros(1, 13, 2), torch.zeros(1, 13, 2))
    unknown = LowBand(0.4, (), torch.device("cpu"))
    with pytest.raises(ValueError, match="with 0 tokens in front of it and 1 behind, got a stream"):
        unknown.place(13, behind=1)


@pytest.mark.parametrize("batched", [False, True], ids=["shared", "of each row"])
def test_positions_tell_the_first_image_from_others(batched):
    def told(positions):
        return [
            find(lambda args, kwargs: positions)((), {}) for find in (position_grid, behind_first)
        ]

    ids = torch.cartesian_prod(torch.tensor([0]), torch.arange(2), torch.arange(3))
    given = torch.cartesian_prod(torch.tensor([10, 20]), torch.arange(4), torch.arange(5))
    both = torch.cat([ids, given])
    assert told(both.expand(2, -1, -1) if batched else both) == [(2, 3), (0, 40)]
    assert told(None) == told(torch.zeros(0, 3)) == [(), (0, 0)]
