"""docs/troubleshooting.md quotes the package's messages as they are, and leaves none out."""

import re

from documents import ROOT
from messages import PACKAGE, holds, raised, said

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
ROWS = [line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith("| `")]
QUOTED = [quote for row in ROWS for quote in re.findall(r"`([^`]+)`", row)]
# Where errors are about more than one argument's value.
NAMES = ("enable", "targets", "mixin", "_library", "branches", "branch", "samples", "cache")
NAMES += ("installation", "probe", "fitting", "beginning", "given", "plan", "offload", "estimate")
FOLDERS = ("runs", "executor", "storage", "graphs", "adapters")
ARGUMENTS = ("basis must be one of …, got …", "model must be the name of a class, got …")


def test_every_quoted_message_exists():
    found = said()
    assert len(QUOTED) > 100
    assert not holds("gamma must be a friend of yours, got …", found)
    assert not [quote for quote in QUOTED if not holds(quote, found)]


def test_no_message_is_left_out():
    paths = [PACKAGE / f"{name}.py" for name in NAMES] + [PACKAGE / "ops/_dispatch.py"]
    paths += [path for name in FOLDERS for path in (PACKAGE / name).rglob("*.py")]
    every = raised(paths)
    assert len(every) > 80
    missing = [text for text in every if not any(holds(quote, text) for quote in QUOTED)]
    assert not sorted(set(missing) - set(ARGUMENTS))
