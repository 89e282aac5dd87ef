"""What ``clusca calibrate`` keeps of a user's function counts only as long as it draws the same."""

import itertools
import sys
import textwrap

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.models import open_model
from command_line import clusca
from lab_cases import ORIGIN, SyntheticModel

FUNCTION = """
    import pathlib
    import torch
    def make():
        def draw(config, seeds):
            prompt = float(pathlib.Path("prompt.txt").read_text())
            order = 0 if config is None else 3 - config.forecaster.order
            value = prompt + order / 50
            return torch.stack([torch.full((1, 4, 4), seed % 3 / 9 + value) for seed in seeds])
        return draw
    """
NAMES = itertools.count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of the user's, as a process finds it that was started now."""
    monkeypatch.chdir(tmp_path)
    name = f"mine_kept_{next(NAMES)}"

    def write(more="", prompt=0.0):
        sys.modules.pop(name, None)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)  # of files as old as each other
        (tmp_path / "prompt.txt").write_text(str(prompt))
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(FUNCTION) + more)
        return f"{name}:make"

    return write


VERSION = """
def make(make=make):
    draw = make()
    draw.version = {!r}
    return draw
"""


def test_the_file_and_the_version_are_the_weights(module):
    weights = [
        open_model(module(more)).weights
        for more in ("", "# other prompts", VERSION.format("a"), VERSION.format("b"))
    ]
    assert len(set(weights)) == 4 and all(len(each) == 12 for each in weights)
    assert open_model(module()).weights == weights[0]
    with pytest.raises(ValueError, match="version of draw must be a string or an integer, got 1.5"):
        open_model(module(VERSION.format(1.5)))


def calibrate(model, *more):
    asked = ["--psnr", "90", "--seeds", "1,2", "--held-out", "2", "--busy", "--rounds", "0"]
    asked += ["--methods", "taylor-even,reuse", "--output", "fast.json"]
    return clusca("calibrate", model, *asked, *more)


def test_another_module_is_tried_anew(module, tmp_path):
    trials, pictures = tmp_path / "fast.trials.jsonl", tmp_path / "fast.full.safetensors"
    assert calibrate(module()).code == 0
    rows, drawn = trials.read_text(), pictures.read_bytes()
    assert calibrate(module()).code == 0
    assert trials.read_text() == rows and pictures.read_bytes() == drawn
    assert calibrate(module("# another checkpoint")).code == 0
    again = trials.read_text()
    assert again.startswith(rows) and again.count("\n") == 2 * rows.count("\n")
    assert pictures.read_bytes() != drawn


def test_what_the_file_does_not_show_is_noticed(module, tmp_path):
    assert calibrate(module()).code == 0
    kept = {path: path.read_bytes() for path in tmp_path.glob("fast.*")}
    said = calibrate(module(prompt=0.5))
    assert said.code == 1 and "must draw what is kept in fast.full.safetensors" in said.words
    assert "within 40 dB, got 12.0 dB at seed 0" in said.words
    assert {path: path.read_bytes() for path in tmp_path.glob("fast.*")} == kept
    assert calibrate(module(VERSION.format("2"), prompt=0.5)).code == 0


def test_a_little_noise_is_no_change(tmp_path):
    """As a GPU makes it."""

    class Noisy(SyntheticModel):
        noise = 0.0

        def _image(self, config, seed):
            return super()._image(config, seed) + self.noise

    model, path = Noisy(), tmp_path / "full.safetensors"
    full = FullSampler(model, path, ORIGIN)
    full.require_same()  # there is nothing to compare
    assert not model.drawn
    full.images([4, 2])
    full.images([1])
    again = FullSampler(model, path, ORIGIN)
    model.drawn.clear()
    model.noise = 0.019  # 40.4 dB
    again.require_same()
    assert model.drawn == [(None, [4])]
    model.noise = 0.021  # 39.6 dB
    with pytest.raises(ValueError, match="synthetic must draw .* got 39.6 dB at seed 4"):
        again.require_same()
    torch.testing.assert_close(again.images([2]), model.draw(None, [2]).images - 0.021)


def test_a_file_without_a_picture_drawn_alone_gets_one(tmp_path):
    model, path = SyntheticModel(), tmp_path / "full.safetensors"
    kept = FullSampler(model, path, ORIGIN).images([4, 2])
    with safe_open(path, "pt") as file:
        of, tensors = file.metadata(), {name: file.get_tensor(name) for name in ("seeds", "images")}
    save_file(tensors, path, of)
    model.drawn.clear()
    FullSampler(model, path, ORIGIN).require_same()
    assert torch.equal(FullSampler(model, path, ORIGIN).images([4, 2]), kept) and not model.drawn
    FullSampler(model, path, ORIGIN).images([4, 1])
    assert model.drawn == [(None, [4]), (None, [1])]


def test_another_size_is_no_same_picture(tmp_path):
    model, path = SyntheticModel(), tmp_path / "full.safetensors"
    FullSampler(model, path, ORIGIN).images([0])
    model._image = lambda config, seed: torch.zeros(1, 4, 4)
    with pytest.raises(ValueError, match="got 0.0 dB at seed 0"):
        FullSampler(model, path, ORIGIN).require_same()
