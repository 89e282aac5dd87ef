"""``clusca run``: embedded models and pipelines of a folder, drawn, compared, refused, stopped."""

import os

import numpy as np
import pytest
from PIL import Image

from clusca_ext import ClusCaConfig, cache
from clusca_ext.cache import Cache
from clusca_ext.commands import run_job
from clusca_ext.drawing import compare, sources
from clusca_ext.drawing.draw import Drawn, psnr
from clusca_ext.drawing.files import write
from clusca_ext.recording import Document
from command_line import clusca
from lab_cases import small_folder
from saved_pipelines import save_dit, save_pixart, save_wan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipelines")
    save_dit(root / "dit")
    save_pixart(root / "pixart")
    save_wan(root / "wan")
    return root


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(here):
    return sorted(path.name for path in here.iterdir())


# ---- what it draws


def test_a_digit_is_what_the_pipeline_draws(here):
    from clusca_ext.demo.pipeline import load_digits

    said = clusca("run", "digits", "--class", "3", "--steps", "5", "--seed", "7")
    assert said.code == 0 and "Picture: clusca-run.png, seed 7" in said.words
    assert "5 of 5, told by the pipeline's scheduler" in said.words
    pipeline = load_digits()
    with cache(pipeline, ClusCaConfig()):
        drawn = pipeline([3], seeds=[7], num_inference_steps=5)
    expected = ((drawn[0, 0].numpy() + 1) / 2 * 255).round().astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open("clusca-run.png"))[..., 0], expected)


def test_pictures_of_several_seeds_of_a_class_by_name(here):
    said = clusca("run", "pictures", "--class", "cat", "--steps", "2", "--count", "2", "--no-cache")
    assert said.code == 0 and "tokens computed" not in said.words
    assert files(here) == ["clusca-run-0.png", "clusca-run-1.png"]
    assert Image.open("clusca-run-0.png").size == (64, 64)


def test_a_model_like_an_embedded_one_of_a_folder(here):
    said = clusca("run", small_folder(here / "model"), "--class", "3", "--steps", "2")
    assert said.code == 0 and "2 of 2" in said.words


def test_a_pipeline_of_classes_beside_itself(folder, here):
    arguments = ["--class", "goldfish", "--steps", "4", "--compare", "--repeats", "2"]
    said = clusca("run", folder / "dit", *arguments, "--output", "both.png")
    assert said.code == 0, said.words
    assert "medians of 2 runs each, after a warm-up of 3 steps" in said.words
    assert "4 of 4" in said.words and " dB" in said.words
    assert Image.open("both.png").width > 2 * 256 and files(here) == ["both.png"]


def test_a_pipeline_of_prompts_is_recorded(folder, here):
    arguments = ["--prompt", "a red fox", "--steps", "4", "--compare", "--warm-up", "0"]
    arguments += ["--method", "fora", "--record", "run.json"]
    said = clusca("run", folder / "pixart", *arguments)
    assert said.code == 0, said.words
    assert "without a warm-up" in said.words and "fora" in said.words
    document = Document.load("run.json")
    assert [run.name for run in document.runs] == ["full sampler", "fora"]
    assert [step.kind for step in document.runs[1].steps] == ["full", "cached", "cached", "full"]
    assert document.runs[1].squared_error[0] > 0 and document.kind == "run"


@pytest.mark.parametrize("name", ["film.gif", "film.webp"])
def test_a_video(folder, here, name):
    asked = ["--prompt", "fox", "--size", "64x32", "--frames", "5", "--steps", "3"]
    beside = ["--compare", "--warm-up", "0"] if name == "film.gif" else ["--storage", "lean"]
    said = clusca("run", folder / "wan", *asked, *beside, "--output", name)
    assert said.code == 0, said.words
    film = Image.open(name)
    assert film.n_frames == 5 and (beside[0] == "--compare" or film.size == (64, 32))


def test_a_configuration_of_a_file_and_a_preset(here):
    ClusCaConfig.paper("dit").save("mine.json")
    asked = ["run", "digits", "--class", "3"]
    assert clusca(*asked, "--steps", "4", "--config", "mine.json").code == 0
    said = clusca(*asked, "--preset", "digits-20-l2c")
    assert said.code == 0 and "20 of 20" in said.words and "partial" in said.words
    said = clusca(*asked, "--preset", "digits-20-l2c", "--steps", "50")
    assert said.code == 2 and "--steps must be 20 of this preset, got 50" in said.words
    said = clusca("run", "digits", "--list")
    assert "teacache" in said.words and "digits-50-10" in said.words and "paper-flux" in said.words


# ---- how it is stopped


@pytest.fixture
def source():
    return sources.open_source("digits")


def test_interrupted_it_keeps_what_is_finished(here, monkeypatch, source):
    drawn = []

    def stopping(*arguments):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(1)
        return Drawn(np.full((1, 32, 32, 1), 0.5, np.float32), 1.0)

    monkeypatch.setattr(run_job, "open_source", lambda *_: source)
    monkeypatch.setattr(run_job, "draw", stopping)
    said = clusca("run", "digits", "--class", "3", "--count", "4")
    assert said.code == 130
    assert said.words.endswith("Stopped; kept: clusca-run-0.png, clusca-run-1.png.")
    assert files(here) == ["clusca-run-0.png", "clusca-run-1.png"]
    assert Cache.of(source.pipeline.transformer) is None


def test_interrupted_a_comparison_leaves_the_model_as_it_was(here, monkeypatch, source):
    original, calls = compare.draw, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 3:  # a warm-up, without the cache, with it
            assert Cache.of(source.pipeline.transformer) is not None
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(run_job, "open_source", lambda *_: source)
    monkeypatch.setattr(compare, "draw", stopping)
    said = clusca("run", "digits", "--class", "3", "--steps", "3", "--compare")
    assert said.code == 130 and "Stopped; what was finished is in clusca-run.png." in said.words
    assert files(here) == ["clusca-run.png"] and Cache.of(source.pipeline.transformer) is None
    assert "progress_bar" not in vars(source.pipeline)


def test_a_file_appears_whole_or_not_at_all(here):
    before = Image.new("RGB", (4, 4), (255, 0, 0))
    before.save("x.png")

    class Torn:
        def save(self, path):
            path.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write([Torn()], here / "x.png", 8)
    assert files(here) == ["x.png"] and Image.open("x.png").getpixel((0, 0)) == (255, 0, 0)
    assert os.listdir(here) == ["x.png"]


def test_psnr_is_of_values_in_0_to_1():
    full = np.zeros((1, 4, 4, 3), np.float32)
    assert psnr(full + np.float32(0.1), full) == pytest.approx(20, abs=1e-4)
    assert psnr(full, full) == float("inf")
