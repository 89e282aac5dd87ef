"""The documents of the repository, and the code that stands in them.

What a test cannot run as it stands says so in a comment in front of its block, unseen by readers:

    <!-- run with: iterations=400 as iterations=2; num_steps=50 as num_steps=6 -->
    <!-- not run: cache-dit is no dependency -->
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "bench/README.md", *PAGES]

_BLOCK = re.compile(
    r"(?:<!-- (run with|not run): (.*?) -->\n)?"
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: What stands behind its fence; empty: nothing.
        text: As the reader sees it.
        line: Of the document, on which its first line stands.
        replaced: Pairs of what is exchanged before it is run, and for what.
        reason: Why it is not run; empty: it is.
    """

    language: str
    text: str
    line: int
    replaced: tuple[tuple[str, str], ...]
    reason: str

    @property
    def runnable(self) -> str:
        text = self.text
        for old, new in self.replaced:
            assert old in text, f"line {self.line}: {old!r} is not in the block"
            text = text.replace(old, new)
        return text


def blocks(text: str) -> list[Block]:
    found = []
    for match in _BLOCK.finditer(text):
        kind, words = match[1], match[2] or ""
        pairs = [pair.split(" as ") for pair in words.split("; ")] if kind == "run with" else []
        found.append(
            Block(
                match["language"],
                "".join(
                    line.removeprefix(match["indent"])
                    for line in match["text"].splitlines(keepends=True)
                ),
                text[: match.start("text")].count("\n") + 1,
                tuple((old, new) for old, new in pairs),
                words if kind == "not run" else "",
            )
        )
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    return _BLOCK.sub("", text)
