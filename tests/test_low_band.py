"""Low frequencies of token grids against cosines in float64, and whose runs have any."""

import math
from dataclasses import replace

import pytest
import torch

from clusca_ext import (
    BlockAdapter,
    ClusCaConfig,
    ClusterCorrector,
    ExplicitSchedule,
    FrequencyForecaster,
    LeanStorage,
    NoCorrection,
    TaylorForecaster,
    cache,
)
from clusca_ext.cache import Cache
from clusca_ext.storage.low_band import LowBand
from families_image import IMAGES, PIXART, qwen
from families_video import VIDEOS, hunyuan_video, wan
from plain_forecasts import projector
from test_adapters import DIT_LIKE, Block, Model
from test_adapters import run as run_own
from test_families import TIMES, run

GRIDS = [(7,), (8, 8), (3, 10), (2, 3, 5), (1, 6), (1,)]


@pytest.mark.parametrize("low_band", [0, 0.1, 0.37, 1])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_low_frequencies_are_those_waves(grid, low_band, device):
    tokens = torch.randn(2, math.prod(grid), 5)
    band = LowBand(low_band, grid, torch.device(device))
    expected = projector(grid, low_band) @ tokens.double()
    got = band.low(tokens.to(device)).cpu().double()
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_channels_are_taken_piece_by_piece(dtype, monkeypatch):
    monkeypatch.setattr("clusca_ext.storage.low_band.PIECE_BYTES", 3 * 4 * 2 * 12)
    old, new = torch.randn(2, 2, 12, 8).to(dtype)
    band, P = LowBand(0.4, (3, 4), torch.device("cpu")), projector((3, 4), 0.4)
    expected = old.double() - P @ (old.double() - new.double())
    band.share_(old, new)
    torch.testing.assert_close(old.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-5)


def test_autocast_rounds_nothing():
    tokens, band = torch.randn(1, 16, 4), LowBand(0.5, (4, 4), torch.device("cpu"))
    expected = band.low(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(band.low(tokens), expected)


def grid_of(family):
    return (8, 8) if family in IMAGES else (3, 4, 4)


@pytest.mark.parametrize("family", IMAGES + VIDEOS, ids=str)
def test_adapters_know_the_grid_of_what_is_denoised(family):
    model = family.make()
    with cache(model, ClusCaConfig(corrector=NoCorrection())):
        grid = Cache.of(model).description.grid
    sides = grid((), family.inputs(torch.zeros(family.noise), TIMES[0]))
    assert tuple(sides)[-len(grid_of(family)) :] == grid_of(family)


def test_coordinates_tell_the_grid_of_ltx():
    """Those of frames, rows and columns in pixels, which its pipelines with conditions give."""
    family = next(each for each in VIDEOS if each.name == "LTXVideoTransformer3DModel")
    places = torch.stack(torch.meshgrid(*map(torch.arange, (3, 4, 4)), indexing="ij")).flatten(1)
    coordinates = (places * torch.tensor([[8], [32], [32]])).float().expand(2, -1, -1).clone()
    coordinates[:, 0] /= 25

    def inputs(noise, timestep):
        given = family.inputs(noise, timestep)
        for side in ("num_frames", "height", "width"):
            del given[side]
        return {**given, "video_coords": coordinates}

    model = family.make()
    for each in (replace(family, inputs=inputs), family):
        with cache(model, split(), timesteps=TIMES):
            grid = Cache.of(model).description.grid
            assert grid((), each.inputs(torch.zeros(family.noise), TIMES[0])) == (3, 4, 4)
            assert torch.stack(run(each, model)).isfinite().all()


def test_a_row_of_qwen_may_be_one_image_in_no_list():
    """As diffusers declares it."""
    family = qwen(edit=False)
    plain = replace(
        family, inputs=lambda noise, t: family.inputs(noise, t) | {"img_shapes": [(1, 8, 8)] * 2}
    )
    model = family.make()
    with cache(model, split(), timesteps=TIMES):
        expected = run(family, model)
        assert all(map(torch.equal, run(plain, model), expected))


def split(low_band=0.4, **more):
    return ClusCaConfig(
        schedule=ExplicitSchedule(steps=(0, 2, 5)),
        forecaster=FrequencyForecaster(forecaster=TaylorForecaster(), low_band=low_band),
        **{"corrector": NoCorrection(), **more},
    )


@pytest.mark.parametrize("family", [PIXART, wan()], ids=str)
def test_shared_gates_split_as_every_module_does(family):
    """Their sums are of one full step each, and gates are the same for all tokens."""
    model, runs = family.make(), []
    shared = LeanStorage(basis="shared-emb")
    plain = ClusCaConfig(corrector=NoCorrection(), schedule=split().schedule, storage=shared)
    for config in (split(), split(storage=shared), plain):
        with cache(model, config):
            runs.append(torch.stack(run(family, model)))
    expected, got, unsplit = runs
    assert (got - expected).norm() <= 2e-6 * expected.norm()
    assert (unsplit - expected).norm() > 1e-4 * expected.norm()


@pytest.mark.parametrize(
    "family, message",
    [
        (hunyuan_video("token_replace"), "must not be used where modulation differs by token"),
        (wan(per_token=True), "must not be used where modulation differs by token"),
        (qwen(edit=True), "must not be used where modulation differs by token"),
    ],
    ids=str,
)
@pytest.mark.parametrize("storage", ["per_block", LeanStorage(basis="gated")], ids=str)
def test_modulation_by_token_is_refused(family, message, storage):
    model = family.make()
    with cache(model, split(storage=storage)), pytest.raises(ValueError, match=message):
        run(family, model)


@pytest.mark.parametrize(
    "storage",
    ["lean", LeanStorage(basis="window"), LeanStorage(basis="exact"), LeanStorage(offload=True)],
    ids=str,
)
def test_sums_that_are_not_of_one_full_step_are_refused(storage):
    with pytest.raises(ValueError, match='storage must be "per_block", .*basis="gated".* got'):
        split(storage=storage)
    gated = LeanStorage(basis="gated")
    with pytest.raises(ValueError, match=r"corrector must be NoCorrection\(\) with a Frequency"):
        split(storage=gated, corrector=ClusterCorrector())
    assert replace(split(), storage=gated).storage == gated


def test_blocks_of_ones_own_say_their_grid():
    model = Model(lambda dim: Block(dim, torch.nn.LayerNorm))

    def drawn(grid):
        adapter = BlockAdapter(**{**vars(DIT_LIKE), "grid": grid})
        with cache(model, split(), adapter=adapter):
            return torch.stack(run_own(model, range(900, 100, -100)))

    line = drawn(lambda x, t: (x.shape[1],))
    assert (drawn(lambda x, t: (5, 8)) - line).norm() > 1e-6 * line.norm()
    with pytest.raises(ValueError, match="needs the grid of tokens, which the inputs of Model do"):
        drawn(None)
    with pytest.raises(ValueError, match=r"one grid of tokens, which is \[5, 5\] by .* of 40 tok"):
        drawn(lambda x, t: (5, 5))
