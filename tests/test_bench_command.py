"""``clusca bench``: rows as ``bench/`` has them, ratios, and a busy machine is said to be one."""

import json

import numpy as np
import pytest
import torch

from clusca_ext.cache import Cache
from clusca_ext.commands import bench_pipeline
from clusca_ext.drawing import sources, survey
from clusca_ext.drawing.draw import Drawn
from clusca_ext.measuring import operators, run
from clusca_ext.measuring.run import Measured, chosen_cases
from clusca_ext.measuring.shapes import MODELS
from command_line import clusca
from report_cases import results_of

ORIGIN = {"commit", "device", "torch"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path):
    return json.loads(path.read_text())


# ---- operators


def test_operators_leave_rows_that_bench_reads(here):
    names = "cluster_propagate,select_nearest"
    asked = ["--operators", names, "--shapes", "digits", "--quick", "--device", "cpu"]
    said = clusca("bench", "operators", *asked, "--output", "rows.json")
    assert said.code == 0, said.words
    assert "of copy speed" in said.words and "Ratios of medians" in said.words
    found = rows(here / "rows.json")
    assert {row["impl"] for row in found} == {"clusca", "torch", "copy"}
    assert all(set(row) >= {"median_us", "gbps", *ORIGIN} for row in found)
    results = results_of(found)
    assert [each.operator for each in results] == ["cluster_propagate", "select_nearest"]
    assert all(each.over_best > 0 and each.over("copy") > 0 for each in results)
    assert {each.dtype for each in results} == {"bfloat16", "int32"}
    assert clusca("bench", "operators", *asked, "--output", "rows.json").code == 0
    assert len(rows(here / "rows.json")) == len(found)  # replaced, not added


def test_every_operator_has_a_case_at_every_shape_asked_for():
    cases = chosen_cases(operators.names(), ["dit-xl-256"], [torch.float32], "cpu")
    assert [name for name, _ in cases] == operators.names()
    assert {case.model.name for _, case in cases} == {"dit-xl-256"}
    assert {case.dtype for _, case in cases} == {torch.float32, torch.int32}
    on_gpu = chosen_cases(["kmeans_step"], ["hunyuan"], [torch.bfloat16], "cuda:1")
    assert {case.model.N for _, case in on_gpu} == {118800, 20400}
    assert {case.device for _, case in on_gpu} == {"cuda:1"}


def test_plain_torch_that_takes_longer_a_second_time_is_a_busy_machine(monkeypatch):
    case = chosen_cases(["taylor_forecast"], ["digits"], [torch.float32], "cpu")[0][1]
    seconds = iter((1.0, 0.5, 0.1, 1.3))  # plain torch, ours, a copy, plain torch
    monkeypatch.setattr(run, "median_seconds", lambda *_: next(seconds))
    (found,) = run.measure([("taylor_forecast", case)], False, False, lambda words: None)
    assert not found.quiet and found.over("torch") == 2 and found.over("copy") == 0.2
    assert all("not quiet" in row["doubt"] for row in found.rows())
    moved = found.bytes_moved / 0.5 / 1e9
    assert found.gigabytes_a_second == pytest.approx(moved)


def test_what_does_not_fit_is_a_note(monkeypatch):
    def too_large(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    case = chosen_cases(["taylor_forecast"], ["digits"], [torch.float32], "cpu")[0][1]
    monkeypatch.setattr(run, "median_seconds", too_large)
    (found,) = run.measure([("taylor_forecast", case)], False, False, lambda words: None)
    assert {row["note"] for row in found.rows()} == {"does not fit"}


def test_operators_that_are_interrupted_keep_their_rows(here, monkeypatch):
    case = chosen_cases(["taylor_forecast"], ["digits"], [torch.float32], "cpu")[0][1]

    def stopping(*_):
        yield Measured("taylor_forecast", case, "warm", {"clusca": 1.0, "torch": 2.0}, 8)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "measure", stopping)
    said = clusca("bench", "operators", "--shapes", "digits", "--output", "rows.json")
    assert said.code == 130 and "Stopped; 1 of 17 cases are measured." in said.words
    assert len(rows(here / "rows.json")) == 2


def test_operators_that_disagree_are_a_failure(monkeypatch):
    def wrong(*_):
        raise AssertionError("differs by 50.0%")
        yield

    monkeypatch.setattr(run, "measure", wrong)
    said = clusca("bench", "operators", "--shapes", "digits")
    assert said.code == 1 and "Error: an operator and plain torch: differs by 50.0%" in said.words


# ---- a pipeline


def test_a_pipeline_beside_itself(here):
    asked = ["digits", "--class", "3", "--steps", "4", "--methods", "default,fora"]
    said = clusca("bench", "pipeline", *asked, "--repeats", "1", "--output", "rows.json")
    assert said.code == 0, said.words
    assert "fora" in said.words and " dB" in said.words and "seconds" not in said.words
    found = {row["impl"]: row for row in rows(here / "rows.json")}
    assert list(found) == ["full sampler", "default", "fora"]
    assert found["fora"]["full"] + found["fora"]["cached"] == 4
    full, fora = found["full sampler"]["seconds"], found["fora"]["seconds"]
    assert found["fora"]["speedup"] == pytest.approx(full / fora, rel=0.01)
    assert {row["shape"] for row in found.values()} == {"digits, 4 steps"}
    assert all(row["bench"] == "pipeline" and set(row) >= ORIGIN for row in found.values())
    assert not results_of(found.values())  # they are of no operator


@pytest.fixture
def source(monkeypatch):
    opened = sources.open_source("digits")
    monkeypatch.setattr(bench_pipeline, "open_source", lambda *_: opened, raising=False)
    monkeypatch.setattr(sources, "open_source", lambda *_: opened)
    return opened


def draws(monkeypatch, seconds, then=None):
    """Runs that take so long, after each other; then an error."""
    left = iter(seconds)

    def draw(*_):
        for value in left:
            return Drawn(np.zeros((1, 4, 4, 1), np.float32), value)
        raise then

    monkeypatch.setattr(survey, "draw", draw)
    monkeypatch.setattr(survey, "summary", lambda pipeline: None)


ASKED = ["digits", "--class", "3", "--methods", "fora", "--output", "rows.json"]


def test_times_that_differ_are_a_busy_machine(source, here, monkeypatch):
    draws(monkeypatch, (1.0, 0.5, 1.3, 0.5))
    said = clusca("bench", "pipeline", *ASKED, "--repeats", "2", "--no-warm-up")
    assert said.code == 0 and "The machine was not quiet" in said.words and "2.30x" in said.words
    assert all("not quiet" in row["doubt"] for row in rows(here / "rows.json"))


def test_a_run_that_warms_up_is_not_timed(source, here, monkeypatch):
    draws(monkeypatch, (9.0, 9.0, 1.0, 0.5))
    said = clusca("bench", "pipeline", *ASKED, "--repeats", "1")
    assert said.code == 0 and "2.00x" in said.words and "identical" in said.words
    found = {row["impl"]: row for row in rows(here / "rows.json")}
    assert found["fora"]["seconds"] == 0.5 and found["fora"]["psnr_db"] is None  # identical


def test_interrupted_it_keeps_rows_and_leaves_the_model(source, here, monkeypatch):
    draws(monkeypatch, (1.0, 0.5, 1.0), KeyboardInterrupt())
    said = clusca("bench", "pipeline", *ASKED, "--repeats", "3", "--no-warm-up")
    assert said.code == 130 and "Stopped; 2 rows are measured." in said.words
    assert len(rows(here / "rows.json")) == 2
    assert Cache.of(source.pipeline.transformer) is None


def test_a_method_that_fails_does_not_stop_the_others(source, here, monkeypatch):
    original = survey.cache

    def refusing(pipeline, config):
        if config.schedule.interval == 3:  # fora's
            raise ValueError("this schedule cannot be used")
        return original(pipeline, config)

    monkeypatch.setattr(survey, "cache", refusing)
    asked = ["digits", "--class", "3", "--steps", "3", "--repeats", "1", "--no-warm-up"]
    said = clusca("bench", "pipeline", *asked, "--methods", "fora,default")
    assert said.code == 0 and "fora: not measured: this schedule cannot be used" in said.words
    said = clusca("bench", "pipeline", *asked, "--methods", "fora", "--output", "rows.json")
    assert said.code == 1 and "no cache could be measured" in said.words
    found = {row["impl"]: row for row in rows(here / "rows.json")}
    assert found["fora"]["note"].startswith("not measured") and "seconds" not in found["fora"]
    assert found["full sampler"]["seconds"] > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["operators", "--operators", "magic"], "operator must be one of ['carry_rep"),
        (["operators", "--shapes", "sdxl"], "shapes must begin like some of ['flux-1024'"),
        (["operators", "--shapes", "hunyuan", "--device", "cpu"], "are too large for it"),
        (["operators", "--dtype", "int4"], "dtype must be some of ['float32'"),
        (["operators", "--device", "cuda:77"], "'cuda:77' cannot be used"),
        (["operators", "--output", "/no/folder/x.json"], "there is no folder /no/folder"),
        (["operators", "--output", "bad.json"], "bad.json must be a JSON file of rows"),
        (["pipeline", "digits"], "--class is needed by DigitsPipeline"),
        (["pipeline", "nothing"], "model must be one of ['digits', 'pictures'], a folder"),
        (["pipeline", "digits", "--methods", "best"], "method must be one of ['default', 'lean'"),
        (["pipeline", "digits", "--output", "bad.json"], "bad.json must be a JSON file of rows"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(arguments, message, here):
    (here / "bad.json").write_text("{")
    said = clusca("bench", *arguments)
    assert said.code == 2 and message in said.words, said.words
    assert (here / "bad.json").read_text() == "{"


def test_shapes_have_names_that_do_not_hide_each_other():
    names = [model.name for model in MODELS]
    assert len(set(names)) == len(names)
