"""What is measured on a GPU: the same shapes everywhere, and the most valuable loop first."""

import pytest

from clusca_ext.measuring import shapes
from clusca_ext.measuring.models import MODELS
from steps import steps


@pytest.mark.parametrize(
    "shape, name",
    [
        ("flux-1024", "flux-1024"),
        ("dit-xl-512", "dit-xl-512"),
        ("hunyuan-480p-65", "hunyuan-480p65"),
        ("hunyuan-720p-129", "hunyuan-720p129"),
        ("wan-14b-720p-81", "wan-14b-720p81"),
    ],
)
def test_operators_and_loops_have_the_same_shapes(shape, name):
    (model,) = (model for model in shapes.MODELS if model.name == shape)
    assert MODELS[name].size == f"B{model.B} N{model.N}"


def test_the_goals_interval_comes_first():
    loops = [step for step in steps(False) if step.name.startswith("loop_")]
    assert [step.name for step in loops[:2]] == ["loop_flux-1024_6", "loop_hunyuan-720p129_6_5_7_4"]
    measured = {(step.command[3], each) for step in loops for each in step.command[5:-2]}
    names = [name for name in MODELS if not name.startswith("tiny")]
    assert len(names) == 5
    assert measured == {(name, interval) for name in names for interval in "4567"}
