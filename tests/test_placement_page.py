"""docs/placement.md is what bench/report.py makes of bench/results, and hides nothing."""

import re
from dataclasses import replace

import pytest
import torch
from diffusers import DiTPipeline

import placement_search
import report
import report_search
from clusca_ext.demo.judge import Estimate
from clusca_ext.presets.placements import load_placement
from clusca_ext.search import Placement
from clusca_ext.search.journal import Scored
from placement_search import KeptDraw
from placement_settings import DIGITS, PROMPTS, SEARCH, STUDIES, Setting
from report_cases import MISSING
from test_pipeline import make_pipeline

FOUND = load_placement("digits-50-10").steps
EVEN = (0, 5, 11, 16, 22, 27, 33, 38, 44, 49)


def row(setting=DIGITS[0], over=(1.5, 0.25), **more):
    origin = {"device": "A CPU, 2 cores", "commit": "abc", "torch": "2.13"}
    numbers = {
        "steps": list(FOUND),
        "even": list(EVEN),
        "psnr_db": [42.5, 0.5],
        "even_psnr_db": [41.0, 0.75],
        "over_even_db": list(over),
        "found": list(FOUND),
        "tries": 77,
        "training": 8,
        "training_gain_db": [2.5, 0.125],
    }
    return setting.key(64) | {"setting": setting.name} | numbers | origin | more


def found():
    some = Estimate(1.0, 0.1)
    return Placement(
        steps=FOUND, gain=some, held_out_gain=some, held_out_psnr=some, tries=9, settings=SEARCH
    )


def of_prompts():
    return replace(found(), steps=(0, 2, 4, 8, 16, 20), settings=PROMPTS)


def test_the_page_is_made_of_the_results():
    text = report_search.document(report.results())
    assert report.PLACEMENT_PAGE.read_text() == text, "run: python bench/report.py --write"
    assert text.count("\n") <= 250


def test_its_code_runs(monkeypatch, tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", report.PLACEMENT_PAGE.read_text(), re.DOTALL)
    monkeypatch.setattr(DiTPipeline, "from_pretrained", lambda *args, **kwargs: make_pipeline())
    monkeypatch.setattr(DiTPipeline, "to", lambda self, *args: self)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    exec(compile(block, "placement.md", "exec"), names)
    assert Placement.load("placement.json") == names["found"]
    assert len((tmp_path / "search.jsonl").read_text().splitlines()) >= 5


def test_what_has_no_result_says_so():
    nothing = report_search.document([])
    assert f"`python bench/placement_search.py`: {MISSING}." in nothing
    assert f"`python bench/placement_search.py --study pictures`: {MISSING}." in nothing
    assert f"`python bench/placement_search.py --study prompts`: {MISSING}." in nothing
    page = report_search.document([row()])
    assert "| as searched | 10 of 50 | 41.00 ± 0.75 | 42.50 ± 0.50 | **+1.50 ± 0.25** |" in page
    for setting in DIGITS[1:]:
        assert f"\n| {setting.name} | " in page
    assert page.count(f"| {MISSING} | {MISSING} | {MISSING} |") == len(DIGITS) - 1
    assert f"- {MISSING.capitalize()}: {DIGITS[1].name}; " in page


def test_it_says_from_what_it_was_measured():
    page = report_search.document([row()])
    assert "A CPU, 2 cores; float32; `python bench/placement_search.py`; commit abc." in page
    assert "77 tries on 8 samples, which gained +2.50 ± 0.12 dB on these." in page
    assert "Found: 0, 4, 9, 14, 21, 23, 31, 39, 44, 49. Even: 0, 5, 11," in page


def test_gains_and_losses_are_told_apart():
    rows = [row(), row(DIGITS[1], (-0.5, 0.125)), row(DIGITS[2], (0.25, 0.25))]
    study = STUDIES["digits"]
    lines = report_search.findings(study, report_search.by_setting(study, rows))
    assert lines[0] == "- It gains in 1 of 3 settings: as searched (**+1.50 ± 0.25** dB)."
    assert lines[1].startswith(f"- It loses in 1 of 3 settings: {DIGITS[1].name} (**-0.50")
    assert lines[2].startswith("- It is not told apart from even in 1 of 3 settings: ")


def test_without_a_preset_it_is_what_the_last_search_found():
    first, second, third = STUDIES["prompts"].settings
    rows = [
        row(first, found=[0, 2, 5, 9, 14, 20]),
        row(second, found=[0, 2, 4, 8, 16, 20]),  # of a search before
        row(third, found=[0, 2, 5, 9, 14, 20]),
    ]
    assert list(report_search.by_setting(STUDIES["prompts"], rows)) == [first, third]
    assert not report_search.by_setting(STUDIES["prompts"], rows[1:])


def test_rows_of_fewer_samples_or_another_placement_are_not_shown():
    assert "42.50" in report_search.document([row()])
    assert "42.50" not in report_search.document([row() | DIGITS[0].key(8)])
    assert "42.50" not in report_search.document([row(found=[*range(9), 49])])


# ---- what is measured


@pytest.mark.parametrize("model", STUDIES)
def test_settings_differ_and_fit(model):
    study = STUDIES[model]
    placement = load_placement(study.preset) if study.preset else of_prompts()
    keys = [setting.key(64)["shape"] for setting in study.settings]
    assert len(set(keys)) == len(keys)
    for setting in study.settings:
        assert len(setting.steps(placement)) == setting.full_steps < setting.num_steps
    first, search = study.settings[0], placement.settings
    assert first.steps(placement) == placement.steps
    assert (first.num_steps, first.full_steps) == (search.num_steps, search.full_steps)
    assert first.config.forecaster == search.config.forecaster
    assert study.search in (None, search)


def test_lengths_between_are_placed_by_fractions():
    assert Setting("twice as long", num_steps=99).steps(found())[:4] == (0, 8, 18, 28)


def test_a_rows_numbers_are_paired():
    """The samples differ far more than the placements do."""
    quality = {FOUND: (30.0, 41.0, 52.0), EVEN: (29.0, 40.0, 51.0)}
    numbers = placement_search.measured(
        DIGITS[0], found(), lambda steps: Scored(steps, quality[steps])
    )
    assert numbers["over_even_db"] == [1.0, 0.0]
    assert numbers["psnr_db"] == pytest.approx([41.0, 6.3509])
    assert (numbers["steps"], numbers["even"]) == (list(FOUND), list(EVEN))


def test_the_full_sampler_is_drawn_once(monkeypatch, tmp_path):
    monkeypatch.setattr(placement_search, "WORK", tmp_path)
    calls = []

    def pipeline(labels, seeds, num_inference_steps, **guidance):
        calls.append((labels, seeds, *guidance.values()))
        return torch.tensor(seeds).view(-1, 1, 1, 1) / 10

    for _ in range(2):
        draw = KeptDraw(pipeline, 5, range(3, 5), "abc")
        assert draw(None, (6, 7)).flatten().tolist() == pytest.approx([0.6, 0.7])
    assert calls == [([3, 4], (6, 7))]
    KeptDraw(pipeline, 5, range(5, 9), "abc")(None, (6, 7))
    KeptDraw(pipeline, 5, range(3, 5), "other weights")(None, (6, 7))
    assert len(calls) == 3
    monkeypatch.setattr(torch, "__version__", "99.0.0")
    KeptDraw(pipeline, 5, range(3, 5), "abc")(None, (6, 7))
    assert len(calls) == 4
    KeptDraw(pipeline, 5, range(3, 5), "abc", 4.0)(None, (6, 7))
    KeptDraw(pipeline, 5, range(3, 6), "abc")(None, (6, 7))
    assert calls[4:] == [([3, 4], (6, 7), 4.0), ([3, 4], (6, 7))]
