"""Files that appear whole or not at all, and files of one writer."""

import fcntl
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


@contextmanager
def alone(path: pathlib.Path) -> Iterator[None]:
    """No other process that asks for it writes to a file meanwhile; it is there then, if empty.

    Raises:
        ValueError: One does already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{path} is being written by another process: wait for it, or name another"
            ) from None
        yield
