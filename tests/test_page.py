"""The page as text: what it holds, and that nothing recorded becomes markup or script."""

import base64
import dataclasses
import hashlib
import json
import re

import pytest
from typer.testing import CliRunner

from clusca_ext.cli import app
from clusca_ext.recording import Document, Recording
from clusca_ext.report import render
from clusca_ext.report.page import ASSETS, SCRIPTS, STYLES
from clusca_ext.report.view import view
from report_documents import ROWS, recorded

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)><!--"


def data_of(page):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1]
    )


def test_the_policy_names_the_very_texts_of_the_page():
    page = render(recorded())
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for name, kind in (("style", "style-src"), ("script", "script-src")):
        text = re.search(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert not re.search(r"<[^>]+\s(style|on\w+)=", page.partition("<script")[0])


def test_every_asset_is_used_and_short():
    files = {path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*") if path.is_file()}
    styles, scripts = (
        {f"{k}/{n}.{k}" for n in names} for k, names in (("css", STYLES), ("js", SCRIPTS))
    )
    pages = {"page", "header", "overview", "pictures", "steps", "drift", "memory", "benchmarks"}
    assert files == styles | scripts | {f"html/{name}.html" for name in pages}
    assert all(len((ASSETS / name).read_text().splitlines()) <= 250 for name in files)


def test_a_wheel_holds_every_asset():
    text = (ASSETS.parents[3] / "pyproject.toml").read_text()
    kept = re.search(r"package-data\]\nclusca_ext = \[(.*?)\]", text, re.DOTALL)[1]
    globs = re.findall(r'"(.*?)"', kept)
    files = {path for path in ASSETS.rglob("*") if path.is_file()}
    assert files == {path for glob in globs for path in ASSETS.parents[1].glob(glob)} & files


def test_what_is_hostile_stays_text():
    run = Recording(name=HOSTILE, missing={HOSTILE: HOSTILE}, summary={HOSTILE: HOSTILE})
    rows = [{"bench": HOSTILE, HOSTILE: HOSTILE}, *({**row, "device": HOSTILE} for row in ROWS)]
    document = Document(
        kind="run", title=HOSTILE, runs=[run], rows=rows, notes=[HOSTILE], origin={HOSTILE: HOSTILE}
    )
    page = render(document)
    assert page.count("<script") == 2 and page.count("</script>") == 2
    assert "<img src=x" not in page and "<!--" not in page
    assert data_of(page)["runs"][0]["name"] == HOSTILE


def test_a_page_of_nothing_says_so():
    page = render(Document(kind="bench", title="nothing"))
    assert "Nothing was recorded" in page and 'id="pictures"' not in page


def test_a_page_of_rows_alone():
    page = render(Document(kind="bench", title="rows"), ROWS)
    seen = data_of(page)
    assert 'id="roofline"' in page and 'id="pareto"' in page and 'id="steps"' not in page
    assert [group["title"] for group in seen["roofline"]] == [
        "a CPU, 2 cores, float32, commit abc",
        "a GPU, float32, commit abc",
    ]
    point = seen["roofline"][0]["points"][1]
    assert (point["operator"], point["ours"], point["peer"]) == ("taylor_update", 0.8, 0.4)
    assert point["roof"] == "a copy of its bytes" and point["peerName"] == "torch"
    assert "1.5 ± 0.2" in page and "not measured" in page


def test_points_that_none_beats():
    (group,) = view(Document(kind="bench", title="rows"), ROWS)["pareto"]
    assert [(p["name"], p["front"]) for p in group["points"]] == [
        ("a, interval 4", True),
        ("b, interval 4", True),
        ("c, interval 4", False),
    ]


def test_speeds_are_of_times_that_can_be_compared():
    full = Recording(name="full", wall_seconds=4.5, cost_seconds=0.5)
    run = Recording(name="run", wall_seconds=2.5, cost_seconds=0.5, squared_error=(0.01, 0.0))
    document = Document(kind="run", title="x", runs=[full, run])
    seen = view(document)["runs"][1]
    assert seen["speedup"] == 2.0 and seen["recorded"]
    assert seen["psnrMean"] == pytest.approx(20.0) and seen["psnr"][1] is None
    alone = [
        dataclasses.replace(each, unrecorded_seconds=s) for each, s in ((full, 9.0), (run, 3.0))
    ]
    seen = view(dataclasses.replace(document, runs=alone))["runs"][1]
    assert seen["speedup"] == 3.0 and not seen["recorded"]
    half = [alone[0], run]
    assert view(dataclasses.replace(document, runs=half))["runs"][1]["speedup"] == 2.0


def test_the_laboratorys_rows():
    row = {
        "bench": "lab", "model": "m", "weights": "w", "steps": 4, "samples": 2, "batch": 2,
        "machine": "c", "commit": "a", "method": "mine", "interval": 2, "order": 1, "error": None,
        "psnr_db": [30.0, 32.0], "operations": 1.5, "full_seconds": [0.9, 1.1],
        "seconds": [0.5, 0.5], "partial": 0, "full": 2,
    }  # fmt: skip
    found = view(Document(kind="bench", title="x", rows=[row]))["pareto"]
    assert [(group["points"][0]["x"], group["points"][0]["y"]) for group in found] == [(1.5, 31.0)]
    quiet = row | {"full_seconds": [1.0, 1.1]}
    timed, counted = view(Document(kind="bench", title="x", rows=[row, quiet]))["pareto"]
    assert timed["points"][0]["x"] == pytest.approx(2.1) and counted["points"][0]["x"] == 1.5
    with pytest.raises(
        ValueError, match="rows of the laboratory must be as clusca lab writes them"
    ):
        render(Document(kind="bench", title="x", rows=[{"bench": "lab"}]))


def call(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_the_command(tmp_path):
    recorded().save(tmp_path / "run.json")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS) + "\n{torn")
    output = tmp_path / "page.html"
    result = call(
        tmp_path / "run.json", tmp_path / "rows.json", tmp_path / "rows.jsonl", "-o", output
    )
    assert result.exit_code == 0, result.output
    assert "A small DiT" in output.read_text()
    result = call(tmp_path / "rows.jsonl", "-o", output)
    assert result.exit_code == 0 and 'id="roofline"' in output.read_text()


BAD = {
    "broken": ("{", "must be a JSON file"),
    "not-rows": ("[1]", "must hold a list of rows"),
    "damaged": ("[", "must be JSON"),
    "other": ("{}", "must have format 'clusca-run', got None"),
}


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD)
def test_the_command_refuses_what_it_cannot_read(text, message, tmp_path):
    (tmp_path / "run.json").write_text(text)
    result = call(tmp_path / "run.json", "-o", tmp_path / "page.html")
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "page.html").exists()


def test_the_command_refuses_files_that_do_not_fit(tmp_path):
    path = tmp_path / "run.json"
    recorded().save(path)
    before = path.read_bytes()
    assert call(path, path, "-o", tmp_path / "page.html").exit_code == 2
    assert call(path, "-o", path).exit_code == 2 and path.read_bytes() == before
    assert call(tmp_path / "nothing.json").exit_code == 2
    assert call(path, "-o", tmp_path / "no" / "page.html").exit_code == 2
