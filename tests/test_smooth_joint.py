"""SmoothCache where a mask cannot compute some modules alone, as MLPs that run on text, too."""

from dataclasses import replace

import pytest

from clusca_ext import ClusCaConfig, NoCorrection, ReuseForecaster, cache, summary
from clusca_ext.learning import ErrorCurves, calibrate
from families_image import FLUX
from families_video import COGVIDEOX
from test_families import TIMES, run

JOINT = {COGVIDEOX: ("mlp-0", "mlp-1"), FLUX: ()}  # FLUX's attention reads blocks' inputs alone

# Of a run of eight steps: errors of one gap, and of two.
OFTEN = ((0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9), (0.9,) * 6)
STILL = ((0.1,) * 7, (0.1,) * 6)


def curves_of(joint):
    of = {"attn-0": STILL, "mlp-0": OFTEN, "attn-1": STILL, "mlp-1": OFTEN}
    return ErrorCurves(num_steps=8, curves=of, together=joint)


def marks(curves, **options):
    return {name: "".join(map(str, m)) for name, m in curves.schedule(0.5, **options).modules}


def test_a_step_that_computes_one_computes_all():
    """Attention is due every third step; MLPs, computed there too, are reused from there on."""
    free, bound = curves_of(()), curves_of(("attn-0", "attn-1"))
    assert marks(free)["attn-0"] == "10010011" and marks(free)["mlp-0"] == "11010101"
    assert marks(bound)["attn-0"] == marks(bound)["attn-1"] == "10010011"
    assert marks(bound)["mlp-0"] == marks(bound)["mlp-1"] == "11010111"
    alone = marks(curves_of(("attn-1",)), by="module")
    assert alone["attn-1"] == alone["attn-0"] == "10010011" and alone["mlp-1"] == "11010111"


@pytest.mark.parametrize("by", ["kind", "module"])
@pytest.mark.parametrize("family, joint", JOINT.items(), ids=str)
def test_every_bound_can_be_run(family, joint, by):
    model = family.make()
    curves = calibrate(model, lambda seed: run(family, model), 8, max_gap=3)
    assert curves.together == joint
    for schedule in {*curves.schedules(by=by)}:
        with cache(model, reusing(schedule)):
            pass
    refused = 0
    for schedule in {*replace(curves, together=()).schedules(by=by)}:
        try:
            with cache(model, reusing(schedule)):
                pass
        except ValueError as error:
            assert "must not compute" in str(error)
            refused += 1
    assert bool(refused) == bool(joint)
    with cache(model, reusing(curves.leaving_out(0.5, by=by)), timesteps=TIMES):
        run(family, model)
        assert summary(model).full < 8


def reusing(schedule):
    return ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())


def test_joint_modules_have_curves():
    with pytest.raises(
        ValueError, match=r"together must be modules that have curves, got \['mlp-7'\]"
    ):
        curves_of(("attn-0", "mlp-7"))
