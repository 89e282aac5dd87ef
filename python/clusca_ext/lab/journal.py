"""Rows of numbers in a JSON-lines file, one appended as it comes: safe to interrupt, to resume."""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

Row = dict[str, Any]
SAME = (
    "version",
    "sources",
    "machine",
    "torch",
    "diffusers",
)  # a row of other ones is measured again


class Journal:
    """A file of rows, and what it holds already.

    A row is a key (what was measured), its numbers, and its origin (who measured it).

    Args:
        path: The file; it is created with the first row.
        origin: What every new row says of who measured it (``origin.origin``).
        beside: Files of other machines, which are read only.

    Raises:
        ValueError: A file holds something else than rows.
    """

    def __init__(
        self,
        path: pathlib.Path,
        origin: Mapping[str, str],
        beside: Iterable[pathlib.Path] = (),
    ) -> None:
        self.path, self.origin = path, dict(origin)
        self.rows = [row for each in [*beside, path] for row in read(each)]
        here = [row for row in self.rows if kind_of(row) == kind_of(self.origin)]
        self._newest = {_digest(row, self._names(row)): row for row in here}
        self._known = {_digest(row, self._names(row)): row for row in self.rows if self._ours(row)}

        self._drawn = {r["draws"]: r for r in self._known.values() if r.get("draws")}
        self._drawn_earlier = {r["draws"]: r for r in here if r.get("draws")}

    def find(self, key: Mapping[str, Any]) -> Row | None:
        """The newest row of this key, where the same machine measured the same sources."""
        return self._known.get(_digest(key, list(key)))

    def earlier(self, key: Mapping[str, Any]) -> Row | None:
        """The newest row of this key by such a device, whatever the sources and the machine."""
        return self._newest.get(_digest(key, list(key)))

    def alike(self, draws: str, earlier: bool = False) -> Row | None:
        """The newest row by the same machine and sources of a setting that draws the same.

        Args:
            draws: What it draws.
            earlier: By whatever sources and machine.
        """
        return self._drawn.get(draws) or (self._drawn_earlier.get(draws) if earlier else None)

    def add(
        self,
        key: Mapping[str, Any],
        numbers: Mapping[str, Any],
        who: Mapping[str, Any] | None = None,
    ) -> Row:
        """Append a row; it is on the disk when this returns.

        Args:
            key: What was measured.
            numbers: What came.
            who: Who measured it; default: who measures now.
        """
        row = {"key": list(key), **key, **numbers, **(self.origin if who is None else who)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(self.path)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)
        name = _digest(key, list(key))
        self._newest[name] = row
        if self._ours(row):
            self._known[name] = row
            if "draws" in row:
                self._drawn[row["draws"]] = row
        return row

    def _ours(self, row: Row) -> bool:
        return all(row.get(name) == self.origin.get(name) for name in SAME)

    @staticmethod
    def _names(row: Row) -> list[str]:
        names: list[str] = row["key"]
        return names


def kind_of(who: Mapping[str, Any]) -> str:
    """What kind of device measured: ``"cpu"``, or the name of a GPU.

    All CPUs draw a picture alike, up to the order of float32 sums; they differ in time.
    """
    device = str(who.get("device", ""))
    return "cpu" if device.endswith(" cores") else device


def read(path: pathlib.Path) -> list[Row]:
    """The rows of a file, none where it does not exist; a last line that was torn is left out.

    Raises:
        ValueError: A line is not a row.
    """
    if not path.exists():
        return []
    *lines, torn = path.read_bytes().split(b"\n")  # what follows the last newline was cut off
    if not lines and torn[:6] != b'{"key"'[: len(torn)]:
        _parse(torn, path, 1)  # it is another file, which must not be cut
    return [_parse(line, path, number) for number, line in enumerate(lines, 1)]


def _parse(line: bytes, path: pathlib.Path, number: int) -> Row:
    try:
        row = json.loads(line)
    except ValueError:  # neither JSON nor UTF-8
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("key"), list):
        raise ValueError(f"line {number} of {path} must be a row of numbers, got {line[:60]!r}")
    return row


def _cut_torn_line(path: pathlib.Path) -> None:
    """A process that was killed while it wrote leaves a line without an end."""
    if path.exists():
        written = path.read_bytes()
        whole = written.rfind(b"\n") + 1
        if whole < len(written):
            os.truncate(path, whole)


def _digest(row: Mapping[str, Any], names: list[str]) -> str:
    return json.dumps({name: row[name] for name in names}, sort_keys=True)
