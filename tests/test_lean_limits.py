"""What lean storage needs to know of a run, what it does without, and what it refuses."""

from dataclasses import dataclass, replace

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    ExplicitSchedule,
    GivenTokens,
    LeanStorage,
    MaskSchedule,
    NoCorrection,
    PyramidSchedule,
    RandomPerLayer,
    TaylorForecaster,
    cache,
    enable_cache,
    reset,
    summary,
)
from clusca_ext.schedule import Bounded
from small_dit import make_dit, options
from test_lean_families import error
from test_lean_runs import CONFIG, basis, drawn


@dataclass(frozen=True)
class Decided:
    """A schedule whose full steps are not known beforehand, with a bound or without."""

    full: tuple[int, ...]
    bound: int | None = None

    def start(self, num_steps):
        def decide(step):
            return step.index in self.full

        return decide if self.bound is None else Bounded(decide, self.bound)


@pytest.mark.parametrize("corrector", [NoCorrection(), ClusterCorrector(num_clusters=5)])
def test_full_steps_that_are_not_known(corrector):
    full = (0, 1, 5, 9)
    model = make_dit()
    config = replace(CONFIG, schedule=Decided(full, bound=4), corrector=corrector)
    got, said = drawn(model, replace(config, storage=LeanStorage(rank=8)))
    assert "over the next 8 steps" in str(said)
    known = replace(config, schedule=ExplicitSchedule(steps=full))
    expected, _ = drawn(model, basis("exact", known))
    if isinstance(corrector, NoCorrection):
        assert error([got], [expected]) <= 2e-6
    else:  # one set of representatives an interval
        forecast, _ = drawn(model, basis("exact", replace(known, corrector=NoCorrection())))
        assert error([got], [forecast]) > 1e-5 and error([got], [expected]) < 1e-2
    got, said = drawn(model, replace(config, schedule=Decided(full)))
    assert "gated: full steps are not known" in str(said)
    with pytest.raises(ValueError, match=r"max_interval=2 must decide a full step at least as oft"):
        drawn(
            model,
            replace(config, schedule=Decided(full, bound=2), forecaster=TaylorForecaster(order=0)),
        )


def test_unknown_timesteps_say_so():
    model = make_dit()
    assert "gated: full steps are not known" in str(drawn(model, CONFIG, known=False)[1])
    for name in ("window", "exact"):
        with pytest.raises(ValueError, match=f"basis='{name}' needs gates and full steps"):
            drawn(model, basis(name), known=False)


def test_other_inputs_than_announced_are_an_error():
    model, noise = make_dit(), torch.randn(2, 1, 16, 16)

    def step(timestep, label=1):
        labels = torch.full((2,), label)
        return model(noise, timestep=torch.full((2,), timestep), class_labels=labels).sample

    with torch.no_grad(), cache(model, CONFIG, timesteps=[900, 800, 700, 600, 500, 400]):
        for timestep in (900, 800):
            step(timestep)
        with pytest.raises(ValueError, match="must be those announced for their step"):
            step(701)
        reset(model)
        for timestep in (900, 800):
            step(timestep)
        with pytest.raises(ValueError, match="must be those announced for their step"):
            step(700, label=2)
        reset(model)
        for timestep in (900, 800, 700, 600, 500, 400):
            step(timestep, label=2)
        assert (summary(model).full, summary(model).cached) == (3, 3)
        reset(model)
        step(901)  # from the first on: then nothing is known
        assert "gated: the model is given other timesteps" in str(summary(model))


def test_what_lean_storage_cannot_do():
    for corrector in (
        ClusterCorrector(rule="value"),
        ClusterCorrector(rule="value", persistent=True),
        ClusterCorrector(selection=RandomPerLayer()),
        ClusterCorrector(num_clusters=2, selection=GivenTokens(tokens=(0, 1))),
    ):
        with pytest.raises(ValueError, match="corrector must"):
            replace(CONFIG, corrector=corrector)

    class Masks:
        def start(self, num_steps):
            return lambda step: True if step.index == 0 else frozenset({(0, "mlp")})

    with pytest.raises(ValueError, match="must decide full or cached steps where storage is lean"):
        drawn(make_dit(), replace(CONFIG, schedule=Masks()))
    masks = {"attn-0": [1, 0, 0], "mlp-0": [1, 1, 0]}
    pace = {name: 2 for name in ("attn", "mlp")}
    for partial, whole in (
        (PyramidSchedule(), PyramidSchedule(ranges=tuple(pace.items()))),
        (MaskSchedule(modules=masks), MaskSchedule(modules=masks | {"mlp-0": [1, 0, 0]})),
    ):
        model = make_dit(layers=1)
        with pytest.raises(ValueError, match="schedule must decide full or cached steps where"):
            enable_cache(model, replace(CONFIG, schedule=partial), **options())
        enable_cache(model, replace(CONFIG, schedule=whole), **options())  # nothing was left
    with pytest.raises(ValueError, match="basis must be one of"):
        LeanStorage(basis="svd")
    with pytest.raises(ValueError, match=r"rank must be an integer in \[1, 8\], got 0"):
        LeanStorage(rank=0)
    with pytest.raises(ValueError, match="rank must be None where"):
        LeanStorage(basis="exact", rank=2)
    with pytest.raises(ValueError, match="offload must be False"):
        LeanStorage(basis="exact", offload=True)
    with pytest.raises(ValueError, match="storage must be"):
        replace(CONFIG, storage="small")


def test_saved_and_loaded(tmp_path):
    for storage in ("lean", LeanStorage(basis="window", rank="auto"), LeanStorage(offload=True)):
        config = replace(CONFIG, storage=storage)
        config.save(tmp_path / "config.json")
        assert ClusCaConfig.load(tmp_path / "config.json") == config
