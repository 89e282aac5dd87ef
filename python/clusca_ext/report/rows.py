"""Files of rows, and rows that no plot shows, as tables."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from clusca_ext.recording import limits
from clusca_ext.recording.document import refuse_constant

SHOWN = 500  # rows of a table
DRAWN = ("demo", "lab")  # whose rows are points of a plot


def are_rows(path: pathlib.Path) -> bool:
    """Whether a file is a journal or a list, as its name or first character says."""
    with path.open("rb") as file:
        return path.suffix == ".jsonl" or file.read(64).lstrip()[:1] == b"["


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Rows of a JSON file, a list as in ``bench/results``, or of a journal, a row a line.

    Raises:
        ValueError: It holds something else.
    """
    if path.stat().st_size > limits.BYTES:
        raise ValueError(f"{path} must be at most {limits.BYTES} bytes, got {path.stat().st_size}")
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".jsonl":  # a last line that was torn is left out
            lines = text.split("\n")[:-1]
            rows = [json.loads(line, parse_constant=refuse_constant) for line in lines]
        else:
            rows = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:  # neither JSON nor UTF-8
        raise ValueError(f"{path} must be JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} must hold a list of rows, got {type(rows).__name__}")
    if len(rows) > limits.ROWS:
        raise ValueError(f"{path} must hold at most {limits.ROWS} rows, got {len(rows)}")
    return rows


def tables(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows that are no points of a plot, a table for every benchmark."""
    by_bench: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("bench") not in DRAWN and "median_us" not in row:
            by_bench.setdefault(str(row.get("bench", "rows")), []).append(row)
    return [_table(name, found) for name, found in by_bench.items()]


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    headings = list(dict.fromkeys(key for row in rows for key in row if key != "bench"))
    shown = [[_cell(key, row.get(key)) for key in headings] for row in rows[:SHOWN]]
    left = len(rows) - len(shown)
    return {"title": name, "headings": headings, "rows": shown, "left": left}


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "not measured"
    if key.endswith("_db") and isinstance(value, list) and len(value) == 2:
        return f"{value[0]} ± {value[1]}"  # a mean and its standard error
    if isinstance(value, float):
        return f"{value:.5g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
