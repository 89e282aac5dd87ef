"""Files that appear whole or not at all."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def replaced(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file beside ``path`` to write to, which takes its place at the end of the block.

    Where the block does not come to its end, what was at ``path`` before is still there. The name
    has the same suffix, by which writers know formats.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
