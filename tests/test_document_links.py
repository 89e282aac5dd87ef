"""Links of the documents, as they are read in the repository: files and anchors exist.

``make docs`` checks those of the site.
"""

import importlib
import re

import pytest

import clusca_ext
import clusca_ext.learning
import clusca_ext.search
from documents import DOCUMENTS, ROOT, name_of, prose

LINK = re.compile(r"""(?<!`)\]\(([^)\s]+)\)|\b(?:src|href)="([^"]+)\"""")


def anchors(text):
    """Of headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)|`", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path):
    text = prose(path.read_text())
    for target in (a or b for a, b in LINK.findall(text)):
        if re.match(r"https?://|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        to = (path.parent / file).resolve() if file else path
        assert to.is_file() and to.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(to.read_text()), target


def test_links_were_found():
    found = [LINK.findall(prose(path.read_text())) for path in DOCUMENTS]
    assert sum(map(len, found)) > 80


def test_every_public_name_is_in_the_reference():
    """By a path that reads as the object: where a module has its name, by the module it is of."""
    text = (ROOT / "docs/reference/api.md").read_text()
    paths = [path.rpartition(".") for path in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]
    named = sorted(name for _, _, name in paths)
    assert named == sorted(set(clusca_ext.__all__) - {"ops", "reference"})
    for module, _, name in paths:
        assert getattr(importlib.import_module(module), name) is getattr(clusca_ext, name)
        hidden = (ROOT / "python" / module.replace(".", "/") / f"{name}.py").exists()
        assert not hidden, f"{module}.{name} is read as a module"


def test_what_finds_schedules_is_in_the_reference():
    text = (ROOT / "docs/reference/extending.md").read_text()
    paths = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    for module in (clusca_ext.learning, clusca_ext.search):
        expected = {f"{module.__name__}.{name}" for name in module.__all__}
        assert {path for path in paths if path.startswith(f"{module.__name__}.")} == expected
    for module, _, name in (path.rpartition(".") for path in paths):
        assert getattr(importlib.import_module(module), name).__doc__, name


def test_the_figure_is_its_scripts():
    import draw_method

    assert draw_method.PICTURE.read_text() == draw_method.picture(), "run tools/draw_method.py"


def test_pages_are_short():
    """Rows of tables aside: what is measured grows."""
    pages = {name_of(path): path.read_text().splitlines() for path in DOCUMENTS}
    long = {name: sum(not line.startswith("|") for line in lines) for name, lines in pages.items()}
    assert not {name: lines for name, lines in long.items() if lines > 250}


def test_nothing_is_left_to_fill_in():
    left = r"^@\w+@$|\bTODO\b|\bTBD\b|lorem ipsum"
    texts = {name_of(path): path.read_text() for path in DOCUMENTS}
    found = {name: re.findall(left, text, re.MULTILINE) for name, text in texts.items()}
    assert not {name: words for name, words in found.items() if words}
