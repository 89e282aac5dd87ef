"""Published methods as shipped, over whole runs, against plain transcriptions.

SpeCa's and AdaCache's are in ``test_adapting_runs.py``.
"""

import pytest

from clusca_ext import ClusCaConfig, HermiteForecaster, IntervalSchedule, NoCorrection, cache
from clusca_ext.enable import cache_of
from clusca_ext.methods import method
from plain_adapting import PlainFirstBlock, PlainTeaCache
from plain_forecasts import Cumulative, PerModule, hermite, nested, plain_run, projector
from plain_tokens import PlainTokens
from small_dit import make_dit, options, sample
from test_adapting import plain_model
from test_token_corrector import STEPS, watched_run

EVERY_THIRD = {0, 3, 6, 9, 12, 15}


def relative(got, expected):
    return (got - expected).norm() / expected.norm()


def last(past, at):
    return past[-1][1]


def taylor(past, at):
    """Of order 2, where there are three outputs."""
    d = at - past[-1][0]
    return sum(f * w for f, w in zip(nested(past), (1, d, d**2 / 2), strict=False))


def split(past, at):
    """Low frequencies, a tenth of the largest radius, of the last output; high ones forecast."""
    P = projector((8, 8), 0.1)
    low, high = past[-1][1].double(), hermite(past, at, 0.71).double()
    return (P @ low + high - P @ high).to(past[0][1].dtype)


def hicache():
    """What ``docs/forecasters.md`` says of it, on TaylorSeer's schedule."""
    return ClusCaConfig(
        schedule=IntervalSchedule(interval=5, warmup=3),
        forecaster=HermiteForecaster(bounded=False),
        corrector=NoCorrection(),
    )


FORECASTS = {
    "fora": (method("fora"), PerModule, EVERY_THIRD, last),
    "taylorseer": (method("taylorseer"), PerModule, {0, 1, 2, 7, 12}, taylor),
    "hicache": (hicache(), PerModule, {0, 1, 2, 7, 12}, lambda *of: hermite(*of, 0.7)),
    "freqca": (method("freqca"), Cumulative, {0, 1, 2, 8, 14}, split),
}


@pytest.mark.parametrize("name", FORECASTS)
def test_forecasts(name, device):
    config, plain, full, predict = FORECASTS[name]
    model = make_dit(device)
    expected = plain_run(model, plain(model, full, predict, False), STEPS)
    with cache(model, config, **options(STEPS)):
        got = sample(model, STEPS)
    assert relative(got, expected) <= 1e-5
    assert relative(got, sample(model, STEPS)) > 1e-3
    if predict is not last:
        reused = plain_run(model, plain(model, full, last, False), STEPS)
        assert relative(got, reused) > 1e-3


def tokens(full, kind, **how):
    settings = {"persistent": True, "every": 1, "weight": 0.25, "bonus": 0, "cell": 2}
    return full, kind, {**settings, **how}


TOKENS = {
    "toca": tokens(EVERY_THIRD, "toca", ratio=0.175, interval=3),
    "duca": tokens(EVERY_THIRD, "random", ratio=0.175, every=2),
    "cat": tokens({*range(8), 12}, "cat", ratio=0.3, interval=5, clusters=16),
}


@pytest.mark.parametrize("name", TOKENS)
def test_tokens(name, device):
    full, kind, how = TOKENS[name]
    model = make_dit(device)
    plain = PlainTokens(model, full, 0, lambda distance, spacing: [1], kind, how)
    expected = plain_run(model, plain, STEPS)
    with cache(model, method(name), **options(STEPS)):
        got, chosen = watched_run(model, 2)
    assert chosen == plain.chosen and chosen
    assert relative(got, expected) <= 1e-5


RESIDUALS = {
    "teacache": lambda model, steps: PlainTeaCache(model, steps, 0.25, (1, 0)),
    "first_block": lambda model, steps: PlainFirstBlock(model, 0.05),
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_residuals(name, model):
    """Of a model that regards the timestep less: else no step of FirstBlockCache is cached."""
    for block in model.transformer_blocks:
        block.norm1.emb.timestep_embedder.linear_2.weight.data.mul_(0.2)
    steps = 2 * STEPS
    plain = RESIDUALS[name](model, steps)
    expected = sample(plain_model(plain, model), steps, samples=1)
    with cache(model, method(name), **options(steps)):
        got = sample(model, steps, samples=1)
        assert cache_of(model).leader.kinds == plain.kinds
    assert 2 < plain.kinds.count("full") < steps
    assert relative(got, expected) <= 1e-5


def test_pab(model):
    """Attention returns what it returned last, at every second step between its timesteps."""
    with cache(model, method("pab"), **options(STEPS)):
        got = sample(model, STEPS)
        kinds = "".join(kind[0] for kind in cache_of(model).leader.kinds)
    kept, steps = {}, [0]
    between = [100 < t < 800 for t in options(STEPS)["timesteps"]]
    first = between.index(True)

    def reuse(module, args, output):
        if not between[steps[0]] or (steps[0] - first) % 2 == 0:
            kept[module] = output
        return kept[module]

    for block in model.transformer_blocks:
        block.attn1.register_forward_hook(reuse)
    expected = sample(model, STEPS, on_step=lambda step: steps.__setitem__(0, step + 1))
    assert kinds == "ffffpfpfpfpfpfff"
    assert relative(got, expected) <= 1e-5
