"""The examples name what exists, and share their arguments; checkpoints cannot be loaded here."""

import ast
import os
import pathlib
import subprocess
import sys

import diffusers
import pytest

from clusca_ext import supported

FOLDER = pathlib.Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.name != "common.py")


def inputs_of(path):
    """What a script gives to ``run``."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    (call,) = [call for call in calls if getattr(call.func, "id", "") == "run"]
    return {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_its_pipeline_is_one_that_is_supported(path):
    import inspect

    given = inputs_of(path)
    pipeline = getattr(diffusers, given["pipeline"])
    parameters = inspect.signature(pipeline.__init__).parameters
    annotation = str(parameters["transformer"].annotation)
    assert any(name in annotation for name in supported())
    ours = {"pipeline", "model", "steps", "prompt", "prompt_name", "dtype", "fps"}
    taken = inspect.signature(pipeline.__call__).parameters
    assert set(given) - ours <= set(taken)
    assert {given.get("prompt_name", "prompt"), "num_inference_steps", "generator"} <= set(taken)
    assert f"examples/{path.name}" in path.read_text()


def test_every_family_has_one():
    used = set()
    for path in SCRIPTS:
        pipeline = getattr(diffusers, inputs_of(path)["pipeline"])
        annotation = str(pipeline.__init__.__annotations__["transformer"])
        used |= {name for name in supported() if name in annotation}
    assert {name for name in supported() if "VACE" not in name} <= used | set(RELATIVES)


RELATIVES = ("HunyuanVideo15Transformer3DModel", "HunyuanVideoFramepackTransformer3DModel")


def test_help():
    done = subprocess.run(
        [sys.executable, str(FOLDER / "flux.py"), "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0
    for word in ("--interval", "--preset", "--offload", "black-forest-labs/FLUX.1-dev"):
        assert word in done.stdout
