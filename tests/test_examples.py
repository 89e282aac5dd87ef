"""The examples name what exists, and share their arguments; checkpoints cannot be loaded here."""

import ast
import importlib
import pathlib
import re
import runpy
import subprocess
import sys
import types

import diffusers
import pytest
import torch
import transformers

from clusca_ext import (
    ClusCaConfig,
    IntervalSchedule,
    NoCorrection,
    ReuseForecaster,
    cache,
    supported,
)

FOLDER = pathlib.Path(__file__).parents[1] / "examples"
OTHERS = ("common", "own_blocks")
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem not in OTHERS)


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
    ours = {"pipeline", "model", "steps", "prompt", "prompt_name", "dtype", "fps", "parts"}
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
    assert set(supported()) <= used


def run(name, *options):
    return subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *options],
        capture_output=True,
        text=True,
    )


def test_help(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("COLUMNS", "200")
    shown = {}
    for name in ("flux", "framepack"):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
        with pytest.raises(SystemExit, match="^0$"):
            runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        shown[name] = capsys.readouterr().out
    for word in ("--interval", "--preset", "--offload", "black-forest-labs/FLUX.1-dev"):
        assert word in shown["flux"]
    assert "--image" not in shown["flux"] and "--image" in shown["framepack"]


def test_blocks_of_ones_own():
    """This one runs here: cached as often as it says, and not far from the model."""
    done = run("own_blocks", "--device", "cpu", "--steps", "12", "--interval", "3")
    assert done.returncode == 0, done.stderr
    assert "12 of 12" in done.stdout
    (error,) = re.findall(r"relative error (\S+) ", done.stdout)
    assert 0 < float(error) < 0.05


def test_its_long_skips_are_those_of_the_model(monkeypatch):
    """Reuse alone, beside hooks that return what they kept: skips read what blocks were given."""
    monkeypatch.syspath_prepend(str(FOLDER))
    own = importlib.import_module("own_blocks")
    torch.manual_seed(0)
    model, kept, steps = own.Model().eval(), {}, []
    timesteps = torch.linspace(1, 0, 7)
    schedule = IntervalSchedule(interval=3, warmup=1)
    config = ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())
    with cache(model, config, adapter=own.adapter(model), timesteps=timesteps[:-1]):
        got = own.sample(model, timesteps, seed=0)

    def reuse(module, args, output):
        if len(steps) % 3 == 1:
            kept[module] = output
        return kept[module]

    model.register_forward_pre_hook(lambda *_: steps.append(None))
    for block in model.blocks:
        block.attn.register_forward_hook(reuse)
        block.mlp.register_forward_hook(reuse)
    torch.testing.assert_close(got, own.sample(model, timesteps, seed=0), rtol=1e-5, atol=1e-6)


def test_an_image_and_parts_reach_the_pipeline(monkeypatch, tmp_path):
    """FramePack is put together from three checkpoints, and given a picture."""
    seen = {}

    class Pipeline:
        def __call__(self, **inputs):
            seen.update(inputs)
            return types.SimpleNamespace(frames=[["frame"]])

        def to(self, device):
            seen["device"] = device

    def load(name):
        return lambda *given, **options: (name, *given, options.get("subfolder"))

    def load_pipeline(model, **parts):
        seen.update(parts)
        return Pipeline()

    monkeypatch.syspath_prepend(str(FOLDER))
    script = importlib.import_module("framepack")
    common = importlib.import_module("common")
    for module, name in (
        (diffusers, "HunyuanVideoFramepackTransformer3DModel"),
        (transformers, "SiglipVisionModel"),
        (transformers, "SiglipImageProcessor"),
    ):
        monkeypatch.setattr(getattr(module, name), "from_pretrained", load(name))
    kind = diffusers.HunyuanVideoFramepackPipeline
    monkeypatch.setattr(kind, "from_pretrained", load_pipeline)
    monkeypatch.setattr(common, "load_image", lambda address: f"picture of {address}")
    monkeypatch.setattr(common, "export_to_video", lambda *given, **options: seen.update(options))
    monkeypatch.setattr(sys, "argv", ["x", "--full", "--device", "cpu", "--image", "me.png"])
    common.run(kind.__name__, "model", fps=30, image="it.png", parts=script.parts)
    assert seen["transformer"][0] == "HunyuanVideoFramepackTransformer3DModel"
    assert seen["image_encoder"][2] == "image_encoder"
    assert (seen["image"], seen["device"], seen["fps"]) == ("picture of me.png", "cpu", 30)
