"""The version stands in one place, and the changelog and the installation agree with it."""

import re
from pathlib import Path

import clusca_ext

ROOT = Path(__file__).parents[1]
VERSION = (ROOT / "version.txt").read_text().strip()


def test_it_is_semantic():
    assert re.fullmatch(r"\d+\.\d+\.\d+(-?(a|b|rc)\d+|\.dev\d+)?", VERSION)


def test_the_package_has_it():
    base, _, variant = clusca_ext.__version__.partition("+")
    assert base == VERSION
    assert re.fullmatch(r"cpu|cu\d{3}", variant)
    assert clusca_ext.build_info().version == clusca_ext.__version__


def test_the_changelog_begins_with_it():
    entries = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.fullmatch(
        rf"{re.escape(VERSION)}( \(unreleased\)| \(\d{{4}}-\d\d-\d\d\))", entries[0]
    )
    assert len(entries) == len(set(entries))


def test_it_stands_nowhere_else():
    for name in ("pyproject.toml", "setup.py", "CMakeLists.txt", "python/clusca_ext/__init__.py"):
        assert VERSION not in (ROOT / name).read_text(), name
