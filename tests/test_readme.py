"""The README's tables are what was measured, and its first commands are there.

Its code, commands and links are tested with those of docs/ (``test_document_*.py``).
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_what_newcomers_look_for_comes_in_order():
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
    wanted = ["What it brings", "Install", "Quick start", "Supported models", "How it works"]
    assert [each for each in headings if each in wanted] == wanted
    assert README.index("<img") < README.index("## ")  # one picture before all else
    first = README.partition("## Quick start")[2].partition("```python\n")[2].partition("```")[0]
    code = [line for line in first.splitlines() if line and "import" not in line]
    assert len(code) + len(re.findall("^(?:from|import) ", first, re.MULTILINE)) <= 8


def test_its_first_commands_are_there():
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"make {name} " in README and f"\n{name}:" in makefile for name in ("demo", "test"))


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
