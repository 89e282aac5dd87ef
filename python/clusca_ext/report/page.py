"""Puts what was recorded into one page: HTML with its styles, its script and its data within it."""

import base64
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from clusca_ext.recording import Document
from clusca_ext.report.view import view

ASSETS = pathlib.Path(__file__).parent / "assets"
STYLES = ("colours", "page", "cards", "controls", "stage", "plots")
SCRIPTS = (
    "elements",
    "state",
    "theme",
    "axes",
    "overview",
    "pictures",
    "difference",
    "strips",
    "bars",
    "stepper",
    "maps",
    "drift",
    "memory",
    "pareto",
    "roofline",
    "start",
)


def render(document: Document, rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page of a document.

    It loads nothing: its policy forbids all but what it holds, whose digests the policy names.

    Args:
        document: What was recorded.
        rows: Rows of benchmarks from other files.

    Raises:
        ValueError: Rows are not as the package writes them.
    """
    seen = view(document, rows)
    style = "\n".join(_asset(f"css/{name}.css") for name in STYLES)
    body = "\n".join(_asset(f"js/{name}.js") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{body}\n}})();\n'
    environment = Environment(
        loader=FileSystemLoader(ASSETS / "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        seen=seen,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=Markup(_data(seen)),
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Content-Security-Policy: these very texts, and pictures within the page; nothing else."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(seen: Mapping[str, Any]) -> str:
    """JSON that no parser of HTML takes for markup."""
    text = json.dumps(seen, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
