"""``clusca run`` refuses what does not fit, in one clear sentence and before it draws."""

import shutil

import pytest
import torch

from clusca_ext.commands import run_job
from clusca_ext.drawing import files as written
from clusca_ext.drawing import sources
from clusca_ext.drawing.draw import draw
from command_line import clusca
from flux_pipelines import make_pipeline
from saved_pipelines import save_dit, save_wan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipelines")
    save_dit(root / "dit")
    save_wan(root / "wan")
    return root


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(here):
    return sorted(path.name for path in here.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["digits"], "--class is needed by DigitsPipeline"),
        (["digits", "--class", "12"], "class_labels must be digits 0 to 9, got [12]"),
        (["digits", "--class", "three"], "--class must be a number, got 'three'"),
        (["pictures", "--class", "dog"], "or a name such as 'astronaut', 'cat'"),
        (["digits", "--class", "3", "--prompt", "x"], "--prompt is not taken by DigitsPipeline, "),
        (["digits", "--class", "3", "--size", "big"], "--size must be WIDTHxHEIGHT in pixels"),
        (["digits", "--class", "3", "--dtype", "int8"], "dtype must be one of ['float32'"),
        (["digits", "--class", "3", "--dtype", "float16"], "digits runs in float32"),
        (["digits", "--class", "3", "--offload"], "offload needs a GPU that models are moved to"),
        (["digits", "--class", "3", "--device", "cuda:77"], "'cuda:77' cannot be used"),
        (["digits", "--class", "3", "--method", "best"], "must be one of ['default', 'lean', 'ada"),
        (["digits", "--class", "3", "--preset", "best"], "--preset must be one of ['digits-20"),
        (["digits", "--class", "3", "--storage", "disk"], "--storage must be one of ['per_block'"),
        (["digits", "--class", "3", "--config", "no.json"], "must be a file of a configuration"),
        (["digits", "--class", "3", "--method", "fora", "--preset", "x"], "--method and --preset"),
        (["digits", "--class", "3", "--no-cache", "--compare"], "--no-cache goes with no other"),
        (["digits", "--class", "3", "--record", "x.json"], "are parts of --compare"),
        (["digits", "--class", "3", "--output", "/no/folder/x.png"], "there is no folder /no"),
        (["digits", "--class", "3", "--output", "."], "must be a file"),
        (["digits", "--class", "3", "--output", "x.txt"], "must end in .png, .jpg, .jpeg, .webp"),
        (["digit", "--class", "3"], "model must be one of ['digits', 'pictures'], a folder"),
        (["digits", "--steps", "0"], "Invalid value for '--steps'"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(arguments, message, here):
    said = clusca("run", *arguments)
    is_of_the_pipeline = message.startswith("class_labels")
    assert said.code == (1 if is_of_the_pipeline else 2) and message in said.words, said.words
    assert not files(here)


def test_a_folder_that_cannot_be_written_to(monkeypatch, here):
    monkeypatch.setattr("clusca_ext.commands.checks.os.access", lambda path, mode: False)
    said = clusca("run", "digits", "--class", "3")
    assert said.code == 2 and "the folder . cannot be written to" in said.words


def test_configurations_of_a_wrong_kind(here):
    for content, message in (
        ("{", "must be a JSON file"),
        ("[]", "must hold a JSON object, got list"),
        ('{"version": 1, "steps": [0]}', "has no key 'steps'"),
        ('{"version": 99}', "version must be at most 1, got 99"),
    ):
        (here / "c.json").write_text(content)
        said = clusca("run", "digits", "--class", "3", "--config", "c.json")
        assert said.code == 2 and message in said.words, said.words


def test_folders_that_hold_no_such_pipeline(folder, here):
    (here / "empty").mkdir()
    said = clusca("run", "empty", "--class", "3")
    assert said.code == 2 and "must hold a pipeline (model_index.json)" in said.words
    (here / "odd").mkdir()
    (here / "odd/model_index.json").write_text('{"_class_name": "NoPipeline"}')
    said = clusca("run", "odd", "--class", "3")
    assert said.code == 2 and "must name a pipeline of diffusers, got 'NoPipeline'" in said.words


def test_pickles_are_not_read(folder, here):
    shutil.copytree(folder / "dit", "pickled")
    weights = here / "pickled/transformer/diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    said = clusca("run", "pickled", "--class", "3")
    assert said.code == 2 and "safetensors" in said.words


def test_a_pipeline_without_a_decoder_draws_nothing():
    source = sources.Source("bare", make_pipeline(), torch.device("cpu"))
    with pytest.raises(ValueError, match="bare has no vae: its latents cannot be made pictures"):
        draw(source, {}, 0)


def test_the_hub_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = clusca("run", "someone/some-model", "--prompt", "x")
    assert said.code == 1 and "Traceback" not in said.words
    assert "someone/some-model is not in the local cache and the Hugging Face Hub" in said.words


def test_mp4_needs_an_extra(folder, here, monkeypatch):
    monkeypatch.setattr(written, "has_video_writer", lambda: False)
    said = clusca("run", folder / "wan", "--prompt", "fox", "--output", "film.mp4")
    assert said.code == 2 and 'pip install "clusca_ext[video]"' in said.words


def test_text_encoders_need_an_extra(folder, monkeypatch):
    find = sources.importlib.util.find_spec
    monkeypatch.setattr(
        sources.importlib.util,
        "find_spec",
        lambda name: None if name == "transformers" else find(name),
    )
    said = clusca("run", folder / "wan", "--prompt", "fox")
    assert said.code == 2 and 'needs transformers: pip install "clusca_ext[run]"' in said.words


def test_a_model_that_is_not_supported(folder, here, monkeypatch):
    monkeypatch.setattr(run_job, "enable_cache", _unsupported)
    said = clusca("run", "digits", "--class", "3")
    assert said.code == 2 and "model must be one of" in said.words


def _unsupported(*_):
    raise ValueError("model must be one of ['DiT'], got UNet2DConditionModel")
