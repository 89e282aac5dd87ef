"""What the site's hooks do to a page: links, equations, and what is refused."""

import importlib

import pytest

from documents import ROOT

pytest.importorskip("mkdocs", reason="the extra docs is not installed")


@pytest.fixture(scope="module")
def hooks():
    return importlib.import_module("site_hooks")


@pytest.fixture
def files(hooks):
    from mkdocs.config import load_config
    from mkdocs.structure.files import get_files

    config = load_config(str(ROOT / "mkdocs.yml"))
    config.plugins._current_plugin = "site_hooks"  # as while MkDocs calls hooks
    return config, hooks.on_files(get_files(config), config)


def page_of(place, files):
    from mkdocs.structure.pages import Page

    config, found = files
    return Page(None, found.get_file_from_path(place), config)


@pytest.mark.parametrize(
    "place, link, leads_to",
    [
        ("index.md", "docs/storage.md#bases", "storage.md#bases"),
        ("index.md", "CONTRIBUTING.md", "contributing.md"),
        ("storage.md", "../README.md#install", "index.md#install"),
        ("reference/operators.md", "../operators.md", "../operators.md"),
        ("performance.md", "../bench/README.md", "benchmarks.md"),
        ("models.md", "../tools/judge_digits.py", "repository/tools/judge_digits.py"),
        ("models.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("models.md", "nothing.md", "nothing.md"),
    ],
)
def test_links_follow_a_page_to_its_place(hooks, files, place, link, leads_to):
    config, found = files
    text = hooks.on_page_markdown(f"[a]({link})", page_of(place, files), config, found)
    assert text == f"[a]({leads_to})"
    if leads_to.startswith("repository/"):
        assert found.get_file_from_path(leads_to) is not None


def test_equations_become_mathml(hooks, files):
    config, found = files
    html = '<p><span class="arithmatex">\\(a &lt; b^2\\)</span></p>'
    html += '<div class="arithmatex">\\[\\sum_i w_i\\]</div>'
    made = hooks.on_page_content(html, page_of("method.md", files), config, found)
    assert made.count("<math") == 2 and made.count('display="block"') == 1
    assert "arithmatex" not in made and "\\" not in made and "<msup>" in made


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://example.org/x.js"></script>',
        '<link rel="stylesheet" href="//example.org/x.css">',
        '<img alt="" src="http://example.org/x.png">',
    ],
)
def test_a_page_that_loads_from_elsewhere_is_refused(hooks, files, html):
    from mkdocs.exceptions import PluginError

    page = page_of("method.md", files)
    with pytest.raises(PluginError, match=r"method.md must load nothing from elsewhere, got <"):
        hooks.on_post_page(f"<p>a</p>{html}", page, files[0])
    plain = '<a href="https://example.org">a</a><img src="x.png"><script src="x.js"></script>'
    assert hooks.on_post_page(plain, page, files[0]) == plain
