"""``clusca calibrate --cost time`` takes no times that a busy machine gave, as ``clusca lab``."""

import json
import textwrap

import pytest

from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.journal import Journal
from clusca_ext.lab.trials import Trials, are_timed
from command_line import clusca
from lab_cases import ORIGIN, SyntheticModel

FUNCTION = """
    import torch
    def make():
        def draw(config, seeds):
            order = 0 if config is None else 3 - config.forecaster.order
            return torch.stack([torch.full((1, 4, 4), seed % 3 / 9 + order / 50) for seed in seeds])
        return draw
    """
ASKED = ["mine_quiet:make", "--psnr", "90", "--seeds", "1,2", "--held-out", "2"]
ASKED += ["--output", "fast.json"]


def row(seconds, seeds=12, **more):
    return {"full_seconds": seconds, "seeds": [0, seeds], "batch": 12, "error": None} | more


def test_only_runs_of_one_batch_are_compared():
    assert are_timed([row(1.0), row(1.1), row(1.14)])
    assert not are_timed([row(1.0), row(1.1), row(1.16)])
    assert are_timed([row(1.0), row(3.0, seeds=4), row(3.3, seeds=4), row(1.1, seeds=36)])
    assert not are_timed([row(1.0), row(2.0, seeds=4), row(3.0, seeds=4)])
    assert are_timed([row(1.0), row(9.0, error="ValueError: no")]) and not are_timed([])


@pytest.mark.parametrize("spread, quiet", [(1.1, True), (1.3, False)])
def test_what_the_journal_holds_of_the_model_is_judged(tmp_path, spread, quiet):
    model, journal = SyntheticModel(), Journal(tmp_path / "trials.jsonl", ORIGIN)
    of = {"bench": "calibrate", "model": model.name, "steps": model.steps}
    for index, seconds in enumerate((1.0, spread)):
        journal.add(of | {"config": index}, row(seconds))
    journal.add(of | {"model": "another", "config": 0}, row(7.0))
    trials = Trials(model, journal, FullSampler(model, tmp_path / "full", ORIGIN), 4)
    assert trials.is_quiet == quiet


def test_the_command_refuses_a_busy_machine(tmp_path, monkeypatch):
    (tmp_path / "mine_quiet.py").write_text(textwrap.dedent(FUNCTION))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trials, "is_quiet", property(lambda self: False))
    said = clusca("calibrate", *ASKED)
    assert said.code == 1 and "the machine was not quiet" in said.words
    assert "remove fast.trials.jsonl" in said.words and not (tmp_path / "fast.json").exists()
    said = clusca("calibrate", *ASKED, "--cost", "operations")
    assert said.code == 0 and "The machine was not quiet" in said.words
    assert "in time" not in said.words
    assert json.loads((tmp_path / "fast.report.json").read_text())["chosen"]["time"] is None
    (tmp_path / "fast.json").unlink()
    said = clusca("calibrate", *ASKED, "--busy")
    assert said.code == 0 and "in time" in said.words and (tmp_path / "fast.json").exists()
