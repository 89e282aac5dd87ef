"""The JSON document: recorded runs and rows of a benchmark, and who made it."""

import json
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clusca_ext.recording import limits
from clusca_ext.recording.origin import origin
from clusca_ext.recording.reading import Fields
from clusca_ext.recording.recording import Recording
from clusca_ext.writing import replaced

FORMAT = "clusca-run"
VERSION = 1
KINDS = ("run", "demo", "bench")


@dataclass(frozen=True, kw_only=True)
class Document:
    """What ``clusca run --compare``, ``clusca demo`` and ``clusca bench`` record.

    Attributes:
        kind: Which of them: ``"run"``, ``"demo"`` or ``"bench"``.
        title: What it is of: model, sampler, size.
        runs: The first one is what the others are compared with.
        rows: Of a benchmark, as in ``bench/results`` or a journal of the laboratory.
        notes: Sentences that belong to it.
        origin: Versions, machine and date; default: these.
    """

    kind: str
    title: str
    runs: Sequence[Recording] = ()
    rows: Sequence[dict[str, Any]] = ()
    notes: Sequence[str] = ()
    origin: dict[str, str] = field(default_factory=origin)

    def __post_init__(self) -> None:
        for name in ("runs", "rows", "notes"):  # whichever sequence was given
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {list(KINDS)}, got {self.kind!r}")
        for name, most in (("runs", limits.RUNS), ("rows", limits.ROWS), ("notes", limits.ROWS)):
            if len(getattr(self, name)) > most:
                raise ValueError(f"{name} must be at most {most}, got {len(getattr(self, name))}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "title": self.title,
            "origin": self.origin,
            "runs": [run.to_dict() for run in self.runs],
            "rows": list(self.rows),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Any, where: str = "the document") -> "Document":
        """What ``to_dict`` wrote.

        Args:
            values: An object as JSON gives it.
            where: Its name, for messages.

        Raises:
            ValueError: It is no such document, of another version, or damaged.
        """
        of = Fields(values, where)
        if of.values.get("format") != FORMAT:
            got = of.values.get("format")
            raise ValueError(f"{where} must have format {FORMAT!r}, got {got!r}")
        version = of.integer("version", 1)
        if version != VERSION:
            raise ValueError(
                f"{where} must be of version {VERSION}, got {version}: record it again, or read it "
                "with the clusca_ext that wrote it"
            )
        of.only("format", "version", "kind", "title", "origin", "runs", "rows", "notes")
        who = of.object("origin")
        return cls(
            kind=of.text("kind", KINDS),
            title=of.text("title"),
            origin={name: who.text(name) for name in who.values},
            runs=of.each("runs", limits.RUNS, Recording.read),
            rows=of.each("rows", limits.ROWS, lambda row: row.values),
            notes=of.texts("notes", limits.ROWS),
        )

    def save(self, path: str | pathlib.Path) -> None:
        """Write it to a JSON file: whole, or, where that fails, not at all.

        Raises:
            ValueError: It holds what JSON does not, such as a number that is not finite.
            OSError: The file cannot be written.
        """
        text = json.dumps(self.to_dict(), allow_nan=False, separators=(",", ":"))
        with replaced(pathlib.Path(path)) as partial:
            partial.write_text(text + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "Document":
        """Read a document from a JSON file.

        Raises:
            ValueError: The file is not JSON, no document, of another version, damaged or too large.
        """
        path = pathlib.Path(path)
        size = path.stat().st_size
        if size > limits.BYTES:
            raise ValueError(f"{path} must be at most {limits.BYTES} bytes, got {size}")
        try:
            values = json.loads(path.read_text("utf-8"), parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:  # neither JSON nor UTF-8
            raise ValueError(f"{path} must be a JSON file: {error}") from None
        return cls.from_dict(values, f"{path}")


def refuse_constant(constant: str) -> None:
    """What JSON does not have, though Python reads it.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"numbers must be finite, got {constant}")
