"""Every Python block of the README runs, and every file it names exists."""

import json
import re
from pathlib import Path

import pytest
from diffusers import DiTPipeline

from test_pipeline import make_pipeline

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_blocks_were_found():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block-{i}" for i in range(len(BLOCKS))])
def test_block_runs(block, monkeypatch, tmp_path):
    """Where a block downloads a checkpoint, a tiny pipeline of the same class stands in for it."""
    monkeypatch.setattr(DiTPipeline, "from_pretrained", lambda *args, **kwargs: make_pipeline())
    monkeypatch.setattr(DiTPipeline, "to", lambda self, *args: self)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_the_files_it_names_exist():
    names = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    names += re.findall(r'src="((?!http)[^"]+)"', README)
    assert names
    assert not [name for name in names if not (ROOT / name).exists()]


def test_the_make_targets_it_names_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"`?make (\w+)", README))
    assert {"demo", "test"} <= targets
    assert not [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)]


def measured_rows():
    """The demo's rows, as bench/demo.py wrote them on the machine that the README names."""
    paths = ROOT.glob("bench/results/*-demo.json")
    rows = [row for path in paths for row in json.loads(path.read_text())]
    rows = [row for row in rows if row["device"] in README and " B64 " in row["shape"]]
    assert len(rows) == 15
    return rows


def test_its_table_is_what_was_measured():
    for row in measured_rows():
        cells = [row["impl"], f"{row['full']} + {row['cached']}", f"{row['speedup']:.2f}x"]
        cells += [f"{row['recognised']:.0%}"]
        cells += [f"{row['psnr_db'][0]:.2f} ± {row['psnr_db'][1]:.2f}"] if row["psnr_db"] else []
        lines = [line.split(" | ") for line in README.splitlines() if line.startswith("| ")]
        found = [line for line in lines if set(cells) <= {cell.strip(" |") for cell in line}]
        assert len(found) == 1, row


def test_the_default_is_as_fast_as_its_operations_say():
    """On a CPU: at least 0.85 of the counted ratio, representatives and k-means included."""
    defaults = [row for row in measured_rows() if row["impl"] == "ClusCa, default"]
    assert len(defaults) == 2
    for row in defaults:
        assert row["speedup"] >= 0.85 * row["counted_speedup"]
