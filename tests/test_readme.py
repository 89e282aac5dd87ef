"""Every Python block of the README runs, and every file it names exists."""

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
