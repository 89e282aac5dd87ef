"""What the laboratory shows: tables that say what rows say, and plots."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import pages, plots, runner, section, tables
from clusca_ext.lab.comparison import Over, groups
from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.grid import settings
from clusca_ext.lab.journal import Journal
from clusca_ext.lab.methods import METHODS, configured
from clusca_ext.lab.rows import Plan
from lab_cases import ORIGIN, MeanFeatures, SyntheticModel, Watch


def timed(rows, quiet=True):
    """The full sampler took as long after a setting as before it, or a quarter longer."""
    return [row | {"full_seconds": [1.0, 1.0 if quiet else 1.25]} for row in rows]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    broken = METHODS["reuse"](6, 1)
    model = SyntheticModel(lambda config: config == broken, MeanFeatures())
    chosen = settings(["taylor-even", "reuse", "hermite-even"], [4, 6], [1, 2])
    journal = Journal(folder / "rows.jsonl", ORIGIN)
    full = FullSampler(model, folder / "full.safetensors", ORIGIN)
    runner.run(model, chosen, Plan(samples=6, batch=3), journal, full, Watch())
    return journal.rows


def cells(text):
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {(line[0].strip("`"), line[1]): line[2:] for line in lines}


def test_what_does_not_exist_is_not_missing(rows):
    """A placement that was searched has one number of full steps."""
    row = rows[0]
    placed = row | {"method": "placed-digits", "interval": 6}
    config = METHODS["placed-digits"](6, 1).to_dict()
    (group,) = groups([*rows, placed | {"config": config}])
    found = cells("\n".join(tables.table(group, tables.perceived)))
    assert found["placed-digits", "1"] == ["–", tables.perceived(row)]
    (group,) = groups([row for row in rows if (row["method"], row["interval"]) != ("reuse", 4)])
    found = cells("\n".join(tables.table(group, tables.perceived)))
    assert found["reuse", "0"][0] == "not measured"


def test_what_was_fitted_to_a_model_counts_for_it_alone(rows):
    config = configured("learning-to-cache", 6, 1, "pictures").to_dict()
    mask = rows[0] | {"method": "learning-to-cache", "interval": 6, "config": config}
    of = {"model": "pictures", "steps": 25}
    (group,) = groups([row | of for row in [*rows, mask]])
    assert (
        cells("\n".join(tables.table(group, tables.perceived)))["learning-to-cache", "1"][1] != "–"
    )
    reuse = {"method": "reuse", "interval": 5, "config": METHODS["reuse"](5, 1).to_dict()}
    (group,) = groups([row | of for row in [*rows, mask, rows[0] | reuse]])
    found = cells("\n".join(tables.table(group, tables.perceived)))
    assert found["learning-to-cache", "1"][1:] == ["–", tables.perceived(mask)]
    (other,) = groups([row | of | {"steps": 20} for row in [*rows, mask]])
    whole, elsewhere = (section.findings(each)[0].split(" of the ")[1] for each in (group, other))
    assert int(whole.split()[0]) > int(elsewhere.split()[0])
    assert all(row["method"] != "learning-to-cache" for row in other.rows)


def test_tables_say_what_rows_say(rows):
    (group,) = groups(rows)
    found = cells("\n".join(tables.table(group, tables.quality_of(tables.Baseline(group)))))
    by_place = {(row["method"], str(row["order"]), row["interval"]): row for row in rows}
    assert len(found) == 5
    for (method, order), columns in found.items():
        for interval, cell in zip((4, 6), columns, strict=True):
            row = by_place[method, order, interval]
            if row["error"]:
                assert cell == "failed"
                continue
            values = np.array(row["psnr_db"])
            assert cell.split(", ")[0] == f"{values.mean():.2f} ± {values.std(ddof=1) / 6**0.5:.2f}"
            if (method, order) != ("taylor-even", "1"):
                base = np.array(by_place["taylor-even", "1", interval]["psnr_db"])
                assert f"{(values - base).mean():+.2f} ± " in cell
    (quiet,) = groups(timed(rows))
    costs = cells("\n".join(tables.table(quiet, tables.cost_of(quiet))))
    row, cell = by_place["taylor-even", "1", 4], costs["taylor-even", "1"][0]
    start = f"{row['full']:g} + {row['cached']:g}; {1 / np.median(row['seconds']):.2f}"
    assert cell.startswith(start) and cell.endswith("; not measured")  # it has no operations
    (busy,) = groups(timed(rows, quiet=False))
    costs = cells("\n".join(tables.table(busy, tables.cost_of(busy))))
    assert costs["taylor-even", "1"][0].endswith("; not measured; not measured")
    assert plots.figure(busy).axes  # with nothing in them: neither time nor operations


def test_a_section_says_who_measured_and_what_failed(rows):
    (group,) = groups(rows)
    text = section.section(group)
    assert "- `reuse`, order 0, interval 6 failed: RuntimeError: it does not work" in text
    assert "`hermite-even`, order 2" in text and "n = 6" in text
    assert "against the baseline at as many operations or fewer `hermite-even`, order 2, " in text
    for block, before in zip(text.split("\n\n")[1:], text.split("\n\n"), strict=False):
        assert not block.startswith("| ") or "commit abc, torch 2." in before
    assert text.count("| method |") == 4 and "not measured." not in text
    without = [row | {"distance": None, "frechet": None} for row in rows]
    text = section.section(groups(without)[0])
    assert text.count("| method |") == 3
    assert "Feature distance and Frechet distance: not measured." in text


def test_the_summary_has_a_line_a_method_best_first(rows):
    (group,) = groups(rows)
    found = cells("\n".join(tables.summary(group)))
    assert [*found] == [
        ("hermite-even", "2"),
        ("hermite-even", "1"),
        ("taylor-even", "2"),
        ("reuse", "0"),
    ]
    by_place = {
        (row["method"], row["order"], row["interval"]): np.array(row["psnr_db"])
        for row in rows
        if not row["error"]
    }
    gaps = [(by_place["hermite-even", 2, i] - by_place["taylor-even", 1, i]).mean() for i in (4, 6)]
    assert found["hermite-even", "2"] == ["4, 6", f"{min(gaps):+.2f} to {max(gaps):+.2f}", "2, 0"]
    assert found["reuse", "0"][0] == "4" and found["reuse", "0"][2] == "0, 1"


def test_a_column_is_an_interval_of_more_than_the_baseline(rows):
    more = [
        row | {"interval": 2, "config": METHODS["taylor-even"](2, row["order"]).to_dict()}
        for row in rows
        if row["method"] == "taylor-even"
    ]
    (group,) = groups([*rows, *more])
    header = tables.table(group, tables.cost_of(group))[0]
    assert header == "| method | order | interval 4 | interval 6 |"
    (alone,) = groups(more)
    assert tables.table(alone, tables.cost_of(alone))[0] == "| method | order | interval 2 |"


def test_a_section_replaces_only_itself(rows):
    page = section.put("# Quality\n\nAbove.\n", pages.sections(rows))
    other = section.put(
        page,
        [
            (
                "other",
                section.BEGIN.format(name="other")
                + "\nA\n"
                + section.END.format(name="other")
                + "\n",
            )
        ],
    )
    fewer = [row for row in rows if row["interval"] == 4]
    again = section.put(other, pages.sections(fewer))
    assert again.startswith("# Quality\n\nAbove.\n\n<!-- clusca lab: synthetic-cpu -->")
    assert "interval 6" not in again and again.endswith("<!-- end of clusca lab: other -->\n")
    assert section.put(again, pages.sections(rows)) == other


@pytest.mark.parametrize(
    "mean, error, text",
    [
        (0.2, 0.05, "**+0.20 ± 0.05**"),
        (0.1, 0.06, "+0.10 ± 0.06"),
        (-0.001, 0.0001, "+0.00 ± 0.00"),
    ],
)
def test_a_difference_is_bold_beyond_two_errors(mean, error, text):
    assert tables.difference(Over(Estimate(mean, error), False)) == text
    assert tables.difference(None) == "not measured"


def test_plots_are_written(rows, tmp_path):
    (group,) = groups(rows)
    drawn = plots.figure(group)
    assert len(drawn.axes) == 3
    for axes in drawn.axes:
        assert len(axes.containers) == len(group.good) == 9
    labels = [text.get_text() for text in drawn.axes[0].texts]
    assert "hermite-even, 6, order 2" in labels
    counted = [row | {"operations": 2.0} for row in timed(rows, quiet=False) if not row["error"]]
    of = plots.figure(groups([counted[0] | {"full_seconds": [1.0, 1.0]}, *counted[1:]])[0])
    lines = [len(axes.containers) for axes in of.axes]
    assert lines == [1, 1, 1, 9, 9, 9]  # one was timed; all were counted
    assert [axes.get_xlabel().split()[4] for axes in of.axes[::3]] == ["time", "operations"]
    notes = pages.write(rows, tmp_path / "docs")
    picture = tmp_path / "docs" / pages.picture_of(group)
    assert np.asarray(Image.open(picture)).std() > 5
    assert f"({picture.name})" in (tmp_path / "docs/quality.md").read_text()
    assert notes == [f"Tables: {tmp_path / 'docs/quality.md'}", f"Plot: {picture}"]


def test_the_front_is_what_nothing_beats():
    points = [(1.0, 50.0), (2.0, 40.0), (2.0, 45.0), (3.0, 30.0), (2.5, 20.0)]
    assert plots.front(points, higher=True) == [3, 2, 0]
    assert plots.front(points, higher=False) == [3, 4]


def test_without_matplotlib_the_extra_is_named(rows, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    notes = pages.write(rows, tmp_path)
    assert "pip install 'clusca_ext[lab]'" in notes[1] and (tmp_path / "quality.md").exists()


def test_rows_are_json(rows):
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
