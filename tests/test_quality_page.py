"""docs/quality.md is what bench/report.py makes of bench/results, and hides nothing."""

import re
from dataclasses import asdict, replace

import pytest
import torch

import quality
import report
import report_lab
import report_quality
from clusca_ext import ClusCaConfig, LeanStorage
from quality import CLUSTERS, EXACT, PARTS, PER_BLOCK, PLAIN, WINDOW, Setting
from report_cases import MISSING

SETTING = Setting("Taylor 1", "even", PLAIN, 5, WINDOW)


def row(setting=SETTING, over=(-0.1, 0.02), **more):
    origin = {"device": "A CPU, 2 cores", "commit": "abc", "torch": "2.13"}
    numbers = {
        "full": 12,
        "cached": 38,
        "psnr_db": [41.0, 0.5],
        "over_per_block_db": list(over),
        "relative_to_per_block": 3e-7,
        "gate_error": 0.012 if setting.storage == WINDOW else None,
        "cache_mib": 8.5,
        "words": "lean, window of 2 components" if setting.storage == WINDOW else "lean",
    }
    return setting.key(64, 50) | asdict(setting) | numbers | origin | more


def findings(*rows):
    return "\n".join(report_quality.findings(report_quality.by_setting(rows)))


def test_the_page_is_made_of_the_results():
    above = report_quality.document(report.results())
    text = report_lab.page(above, report_lab.results())
    assert report.QUALITY_PAGE.read_text() == text, "run: python bench/report.py --write"
    assert above.count("\n") <= 250


def test_the_pictures_it_shows_exist():
    shown = re.findall(r"!\[.*?\]\((.*?)\)", report.QUALITY_PAGE.read_text())
    assert not [name for name in shown if not (report.QUALITY_PAGE.parent / name).exists()]


def test_every_table_names_its_command_and_commit():
    blocks = report.QUALITY_PAGE.read_text().split("\n\n")
    tables = [i for i, block in enumerate(blocks) if block.startswith("| ")]
    assert tables
    for i in tables:
        assert re.search("`python bench/quality.py`|`clusca lab`", blocks[i - 1])
        assert re.search(rf"commit |{MISSING}", blocks[i - 1])


def test_what_has_no_result_says_so():
    page = report_quality.document([])
    for part in PARTS:
        assert f"\n{part}: {MISSING}.\n" in page
    page = report_quality.document([row()])
    (line,) = [each for each in page.splitlines() if "41.00" in each]
    assert line.startswith(f"| {WINDOW} | {MISSING} | 41.00, **-0.10 ± 0.02** | {MISSING}")
    for storage in (each for each in quality.STORAGES if each != WINDOW):
        assert page.count(f"\n| {storage} | {MISSING} | {MISSING} |") == 2
    assert "| 2, 0.012, 8.5 MiB |" in page and "1 of " in page


def test_rows_of_several_commits_are_told_apart():
    other = replace(SETTING, interval=7), replace(SETTING, interval=7, corrector=CLUSTERS)
    rows = (
        row(),
        row(other[0], commit="def"),
        row(other[1], commit="def", over_no_clusters_db=[0, 0]),
    )
    page = report_quality.document(list(rows))
    assert f"\n{PARTS[0]}; " in page and page.count("commit abc, def.") == 3
    assert page.count("commit def.") == 1  # the table of clusters
    assert page.count("memory may not compare") == 1


def test_rows_of_fewer_samples_are_not_shown():
    few = row() | SETTING.key(8, 50)
    assert report_quality.document([few | {"shape": few["shape"]}]).count("41.00") == 0


@pytest.mark.parametrize(
    "pair, beyond",
    [([0.1, 0.04], True), ([-0.1, 0.04], True), ([0.1, 0.06], False), ([0.004, 0.001], False)],
)
def test_a_difference_is_seen_beyond_two_standard_errors(pair, beyond):
    assert report_quality.is_beyond(pair) == beyond
    assert ("**" in report_quality.shown(pair)) == beyond


def test_what_misses_the_goal_is_named():
    missed = replace(SETTING, interval=7)
    text = findings(row(), row(missed, (-0.16, 0.02)))
    assert (
        "at most 0.15 dB in 1 of 2 settings; more in (Taylor 1, even, 7: **-0.16 ± 0.02**)" in text
    )
    assert "-0.16 to -0.10 dB, beyond two standard errors 2 losses and 0 gains" in text
    assert "more in" not in findings(row(), row(missed, (0.3, 0.02)))


def test_what_clusters_and_exact_give_is_said():
    exact = replace(SETTING, storage=EXACT)
    clustered = replace(SETTING, corrector=CLUSTERS)
    text = findings(row(exact, (0.0001, 0.0001)), row(clustered, over_no_clusters_db=[-0.2, 0.05]))
    assert "+0.000 dB over per block; pictures differ from its by at most 3.0e-07" in text
    assert "Clusters in `window` storage, 1 setting: -0.20 dB, beyond two standard errors" in text


# ---- what is measured


def test_settings_are_what_they_say():
    settings = [setting for part in PARTS for setting in part.settings()]
    assert len(set(settings)) == len(settings)
    configs = [setting.config for setting in settings]
    assert ClusCaConfig(storage=LeanStorage(basis="window")) in configs  # the default, but lean
    assert {each.storage for each in settings} == set(quality.STORAGES)


def test_a_rows_numbers_are_paired(monkeypatch):
    """The baseline differs from sample to sample far more than what is to be seen."""
    torch.manual_seed(0)
    full = torch.zeros(4, 1, 2, 2)
    noise = torch.tensor([0.1, 0.01, 0.001, 0.2]).view(4, 1, 1, 1) * torch.ones(4, 1, 2, 2)
    pictures = {None: full, PER_BLOCK: noise, WINDOW: noise * 2}

    class Said:
        storage, cache_bytes = "lean, window of 2 components, which leave 0.012 of it", 2**21

    class Drawn:
        full, cached, summary = 12, 38, Said

        def __init__(self, images):
            self.images = images

    found = quality.measured(SETTING, lambda each: Drawn(pictures[each and each.storage]))
    assert found["over_per_block_db"] == pytest.approx([-6.0206, 0.0], abs=1e-3)
    assert found["psnr_db"][1] > 5 and found["relative_to_per_block"] == 1.0
    assert found["cache_mib"] == 2 and "over_no_clusters_db" not in found


@pytest.mark.parametrize(
    "words, error",
    [
        ("lean, window of 2 components, which leave 0.012 of the gates: known", 0.012),
        ("lean, window of 1 component, which leaves 0.100 of the gates", 0.1),
        ("per block", None),
    ],
)
def test_a_window_says_what_it_leaves_of_the_gates(words, error):
    assert quality.gate_error(words) == error
