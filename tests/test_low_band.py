"""Low frequencies of token grids against cosines in float64, and whose runs have any."""

import math
from dataclasses import replace

import pytest
import torch

from clusca_ext import (
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
from families_image import FLUX, IMAGES, PIXART, qwen
from families_video import VIDEOS, hunyuan_video, wan
from plain_forecasts import projector
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


def split(low_band=0.4, **more):
    return ClusCaConfig(
        schedule=ExplicitSchedule(steps=(0, 2, 5)),
        forecaster=FrequencyForecaster(forecaster=TaylorForecaster(), low_band=low_band),
        **{"corrector": NoCorrection(), **more},
    )


@pytest.mark.parametrize("family", [FLUX, wan()], ids=str)
def test_older_outputs_take_the_last_ones_low_frequencies(family):
    """And keep their own high ones: of every module, on the model's own grid."""
    model, kept, returned = family.make(), {}, {}
    P = projector(grid_of(family), 0.4)

    def look(step):
        found = Cache.of(model)
        if step == 3:
            features = found.branch.storage.features
            kept.update({key: each.factors.double() for key, each in features.items()})

    def of(key, module):
        def hook(module, args, output):
            found = module_of[key].description.feature(output, family.tokens)
            returned.setdefault(key, []).append(found.double())

        return module.register_forward_hook(hook)

    with cache(model, split(), timesteps=TIMES):
        module_of = Cache.of(model).modules
        handles = [of(key, each.module) for key, each in module_of.items()]
        run(family, model, look)
        for handle in handles:
            handle.remove()
    for key, factors in kept.items():
        old, new = returned[key][:2]
        torch.testing.assert_close(factors[1], new, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(factors[0], old - P @ (old - new), rtol=1e-5, atol=1e-5)


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
