"""What MkDocs does not: pages that lie elsewhere in the repository, equations without a network.

The README is the site's home. Links from a page to a file outside ``docs/`` lead to that file's
own page, where it has one, else to a copy beside the pages. Equations become MathML, which browsers
draw themselves; a page that would load anything from another host fails the build.
"""

import html
import os
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "bench/README.md": "benchmarks.md",
}
SOURCES = {page: source for source, page in ELSEWHERE.items()}
LINK = re.compile(r"""(\]\(|\b(?:src|href|srcset)=")([^)"\s]+)""")
LOADS = re.compile(
    r"""<(?:script|img|source|iframe|video)\b[^>]*\b(?:src|srcset)="?(?:https?:)?//[^>]*>"""
    r"""|<link\b[^>]*\brel="?(?:stylesheet|preconnect|preload|icon)\b[^>]*(?:https?:)?//[^>]*>"""
)
EQUATION = re.compile(
    r"""<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</(?:span|div)>""", re.DOTALL
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    place = page.file.src_uri
    source = SOURCES.get(place, f"docs/{place}")

    def lead(found: re.Match[str]) -> str:
        before, target = found.groups()
        path, mark, anchor = target.partition("#")
        if not path or ":" in path:
            return found[0]
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        to = _place(named, config, files)
        if to is None:
            return found[0]  # MkDocs says that there is no such file
        return before + posixpath.relpath(to, posixpath.dirname(place) or ".") + mark + anchor

    return LINK.sub(lead, markdown)


def _place(named: str, config: MkDocsConfig, files: Files) -> str | None:
    """Where a file of the repository lies in the site; it is copied there if it is not yet."""
    if named in ELSEWHERE:
        return ELSEWHERE[named]
    if named.startswith("docs/"):
        return named.removeprefix("docs/")
    if not (ROOT / named).is_file():
        return None
    to = f"repository/{named}"
    if to not in files.src_uris:
        if to.endswith(".md"):
            raise PluginError(f"{named} needs a page of its own: name it in {Path(__file__).name}")
        files.append(File.generated(config, to, abs_src_path=os.fspath(ROOT / named)))
    return to


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    def drawn(found: re.Match[str]) -> str:
        tag, opening, tex = found.groups()
        math = convert(html.unescape(tex), display="block" if opening == "[" else "inline")
        return f'<{tag} class="equation">{math}</{tag}>'

    return EQUATION.sub(drawn, content)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    if found := LOADS.search(output):
        raise PluginError(f"{page.file.src_uri} must load nothing from elsewhere, got {found[0]}")
    return output
