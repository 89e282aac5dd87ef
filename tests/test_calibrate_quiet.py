"""``clusca calibrate --cost time`` takes no times that a busy machine gave, as ``clusca lab``."""

import json
import textwrap

import pytest

from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.journal import Journal, read
from clusca_ext.lab.methods import METHODS
from clusca_ext.lab.trials import Candidate, OutOfTime, Trials
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


CANDIDATES = [Candidate(str(n), METHODS["taylor-even"](n, 1)) for n in (4, 6)]


class Spells(SyntheticModel):
    """A model whose machine is slower at some timings of the full sampler, and how often it was
    timed."""

    def __init__(self, slow=()):
        super().__init__()
        self.slow, self.timings = slow, 0

    def full_seconds(self, seeds):
        self.timings += 1
        return super().full_seconds(seeds) * (1.3 if self.timings in self.slow else 1.0)


def tried(folder, model, origin=ORIGIN, retries=3, candidates=CANDIDATES, **options):
    journal = Journal(folder / "trials.jsonl", origin)
    full = FullSampler(model, folder / "full", origin)
    trials = Trials(model, journal, full, 4, retries=retries, **options)
    return trials, trials.tried(candidates, range(6))


def test_a_trial_lies_between_two_timings(tmp_path):
    model = Spells()
    trials, found = tried(tmp_path, model)
    assert model.timings == 3  # that after the first is that before the second
    assert [trial.row["full_seconds"] for trial in found] == [[40.0, 40.0]] * 2
    assert trials.is_quiet and trials.spoilt == 0
    assert found[0].time.mean == pytest.approx(40 / (found[0].row["seconds"][0]))


def test_spoilt_times_are_taken_anew(tmp_path):
    model = Spells(slow=[2])  # spoils the first trial, and what was timed right before the second
    trials, found = tried(tmp_path, model)
    rows = read(tmp_path / "trials.jsonl")
    assert [row["name"] for row in rows] == ["4", "4", "6"]
    assert rows[0]["full_seconds"] == [40.0, 52.0] and found[0].row == rows[1]
    kept = "psnr_db", "distance", "operations", "seconds"
    assert all(rows[0][name] == rows[1][name] for name in kept)
    assert trials.is_quiet and trials.count == 2


def test_a_machine_that_stays_busy_is_told(tmp_path):
    trials, found = tried(tmp_path, Spells(slow=range(2, 100, 2)))
    rows = read(tmp_path / "trials.jsonl")
    assert [row["name"] for row in rows] == ["4"] * 4 + ["6"] * 4
    assert not trials.is_quiet and trials.spoilt == 2 and len(found) == 2
    trials.tried(CANDIDATES, range(6))
    assert read(tmp_path / "trials.jsonl") == rows  # asked again, they are not timed again

    quiet, _ = tried(tmp_path, Spells())  # a later session
    assert quiet.is_quiet and len(read(tmp_path / "trials.jsonl")) == len(rows) + 2


def test_what_failed_is_tried_again_by_a_later_session(tmp_path):
    model = Spells()
    model.broken = lambda config: config == CANDIDATES[0].config  # as of a GPU that is full
    trials, found = tried(tmp_path, model)
    assert list(trials.failed) == ["4"] and len(found) == 1
    assert len(trials.tried(CANDIDATES, range(6))) == 1  # asked again, it is not
    assert len(read(tmp_path / "trials.jsonl")) == 2
    later, found = tried(tmp_path, Spells())
    assert not later.failed and [trial.candidate.name for trial in found] == ["4", "6"]


def test_a_timing_that_fails_takes_nothing_away(tmp_path):
    class FailsLater(Spells):
        def draw(self, config, seeds):
            if self.timings > 2 and config is not None:
                raise RuntimeError("it does not work")
            return super().draw(config, seeds)

    trials, found = tried(tmp_path, FailsLater(slow=[2]), candidates=CANDIDATES[:1])
    assert not trials.failed and len(found) == 1 and not trials.is_quiet
    assert len(read(tmp_path / "trials.jsonl")) == 1


def test_where_the_full_sampler_fails_no_candidate_is_said_to(tmp_path):
    class Fails(Spells):
        def draw(self, config, seeds):
            raise RuntimeError("no such device")

    with pytest.raises(RuntimeError, match="no such device"):
        tried(tmp_path, Fails())
    assert not (tmp_path / "trials.jsonl").exists()


def test_without_retries_times_are_as_they_are(tmp_path):
    trials, _ = tried(tmp_path, Spells(slow=[2]), retries=0)
    assert not trials.is_quiet and len(read(tmp_path / "trials.jsonl")) == 2


def test_nothing_is_timed_anew_after_the_limit(tmp_path):
    tried(tmp_path, Spells(slow=[2]), retries=0)
    with pytest.raises(OutOfTime):
        tried(tmp_path, Spells(), seconds=-1)
    assert len(read(tmp_path / "trials.jsonl")) == 2


@pytest.mark.parametrize("other", ["machine", "torch", "weights", "model"])
def test_rows_of_others_are_not_judged(tmp_path, other):
    busy = Spells(slow=range(2, 100, 2))
    setattr(busy, "name" if other == "model" else other, "another")
    origin = ORIGIN | ({other: "another"} if other in ORIGIN else {})
    before, _ = tried(tmp_path, busy, origin, retries=0)
    here, _ = tried(tmp_path, Spells(), retries=0)
    assert not before.is_quiet and here.is_quiet


def test_the_command_refuses_a_busy_machine(tmp_path, monkeypatch):
    (tmp_path / "mine_quiet.py").write_text(textwrap.dedent(FUNCTION))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("clusca_ext.lab.trials.is_timed", lambda row: False)
    said = clusca("calibrate", *ASKED, "--rounds", "0", "--methods", "taylor-even,reuse")
    assert said.code == 1 and "the machine was not quiet" in said.words
    assert "trials, though timed anew 3 times" in said.words
    assert not (tmp_path / "fast.json").exists()
    rows = (tmp_path / "fast.trials.jsonl").read_text()
    said = clusca("calibrate", *ASKED, "--cost", "operations")
    assert said.code == 0 and "The machine was not quiet" in said.words
    assert "in time" not in said.words
    assert json.loads((tmp_path / "fast.report.json").read_text())["chosen"]["time"] is None
    (tmp_path / "fast.json").unlink()
    said = clusca("calibrate", *ASKED, "--busy")
    assert said.code == 0 and "in time" in said.words and (tmp_path / "fast.json").exists()
    assert (tmp_path / "fast.trials.jsonl").read_text().startswith(rows)
