"""The file a search goes on from: its settings, then a line for everything that was drawn.

A line is on the disk before the next is begun. What a kill leaves of one is cut off.
"""

import json
import os
import pathlib
from dataclasses import dataclass
from typing import Any

from clusca_ext.search.moves import Steps

TRY, HELD_OUT = "try", "held_out"
_BEGINNING = b'{"settings": '


@dataclass(frozen=True)
class Scored:
    """A placement and what it drew.

    Attributes:
        steps: Its full steps.
        psnr: To the full sampler, of each seed, in decibels.
    """

    steps: Steps
    psnr: tuple[float, ...]


class Journal:
    """Lines in memory and, where there is a path, in its file.

    Attributes:
        tries: On training seeds, the even placement first.
        held_out: On held-out seeds, by placement.

    Raises:
        ValueError: The file is no journal, or of a search with other settings.
    """

    def __init__(self, path: str | pathlib.Path | None, settings: dict[str, Any]) -> None:
        self.path = None if path is None else pathlib.Path(path)
        self.tries: list[Scored] = []
        self.held_out: dict[Steps, Scored] = {}
        lines = [] if self.path is None else _whole_lines(self.path)
        if not lines:
            self._append({"settings": settings})
            return
        self._require(lines[0], settings)
        for number, line in enumerate(lines[1:], 2):
            try:
                self._keep(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"line {number} of {self.path} must be a try of this search, got "
                    f"{line[:80]!r}: {error}"
                ) from None

    def add(self, kind: str, scored: Scored) -> None:
        """Keep what was drawn; ``kind`` is ``TRY`` or ``HELD_OUT``."""
        line = {kind: len(self.tries), "steps": scored.steps, "psnr": scored.psnr}
        self._append(line)
        self._keep(line)

    def _keep(self, line: dict[str, Any]) -> None:
        scored = Scored(tuple(line["steps"]), tuple(line["psnr"]))
        if HELD_OUT in line:
            self.held_out[scored.steps] = scored
        elif line[TRY] != len(self.tries):  # two searches at once in one file
            raise ValueError(f"try must be {len(self.tries)}, got {line[TRY]}")
        else:
            self.tries.append(scored)

    def _require(self, line: bytes, settings: dict[str, Any]) -> None:
        try:
            kept = json.loads(line)["settings"]
            keys = sorted({*kept, *settings})
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{self.path} must be the journal of a search, got {line[:80]!r}"
            ) from None
        for key in keys:
            if kept.get(key) != settings.get(key):
                raise ValueError(
                    f"{self.path} is of a search with other settings: {key} must be "
                    f"{kept.get(key)!r} to go on with it, got {settings.get(key)!r}; for a new "
                    "search name another file"
                )

    def _append(self, line: dict[str, Any]) -> None:
        if self.path is None:
            return
        with self.path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _whole_lines(path: pathlib.Path) -> list[bytes]:
    """Of a file that may not be there yet; an unfinished last line is cut off."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if content[: len(_BEGINNING)] != _BEGINNING[: len(content)]:
        raise ValueError(_demand(path, content))
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return whole.splitlines()


def _demand(path: pathlib.Path | None, content: bytes) -> str:
    return f"{path} must be the journal of a search, got {content[:80]!r}"
