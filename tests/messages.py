"""What the package can say: its sources' strings, with an ellipsis where a value is filled in."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python/clusca_ext"
ELLIPSIS = "…"
END = "\0"


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or ELLIPSIS for part in node.values)
    return ""


def _strings(tree: ast.AST) -> list[str]:
    """Every whole string but docstrings."""
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
        elif isinstance(node, ast.Expr):
            skipped.add(id(node.value))
    return [text for node in ast.walk(tree) if id(node) not in skipped and (text := _text(node))]


def _of_cpp(text: str) -> list[str]:
    """The literals of a check, in a row: what is between them are values."""
    calls = re.findall(r"STD_TORCH_CHECK\((.*?)\);", text, re.DOTALL)
    return [ELLIPSIS.join(re.findall(r'"((?:[^"\\]|\\.)*)"', call)) for call in calls]


def said() -> str:
    """All of it, one string behind the other, with an end that no message has between them."""
    trees = (ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py"))
    found = [text for tree in trees for text in _strings(tree)]
    for path in (ROOT / "csrc").rglob("*"):
        if path.suffix in (".h", ".cpp"):
            found += _of_cpp(path.read_text())
    return END.join(found)


def raised(paths: Iterable[Path]) -> list[str]:
    """What is said where an error is raised, as far as it stands there."""
    raises = (
        node
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    )
    texts = (_text(argument) for node in raises for argument in node.exc.args[:1])
    return sorted({text for text in texts if len(text.strip(ELLIPSIS)) > 8})


def holds(quoted: str, text: str) -> bool:
    """Whether a text has what is quoted; an ellipsis stands for a value, or what is left out."""
    parts = [re.escape(part) for part in quoted.strip(ELLIPSIS).split(ELLIPSIS)]
    return re.search(f"[^{END}]*?".join(parts), text) is not None
