"""Files that appear whole or not at all, and files of one writer."""

import fcntl
import os
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


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """Write a file so that at any time it is the old one or the new one, whole."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def beside(path: pathlib.Path, ending: str) -> pathlib.Path:
    """What belongs to a file, by its name: ``fast.json`` and ``fast`` have ``fast.report.json``.

    Args:
        path: The file; a suffix but ``.json`` is a part of its name.
        ending: Such as ``.report.json``.
    """
    return path.with_name((path.stem if path.suffix == ".json" else path.name) + ending)


@contextmanager
def alone(path: pathlib.Path) -> Iterator[None]:
    """No other process that asks for it writes to a file meanwhile; it is there then, if empty.

    Args:
        path: The file, or a folder that is there.

    Raises:
        ValueError: One does already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    how = os.O_RDONLY if path.is_dir() else os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(path, how, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{path} is being written by another process: wait for it, or name another"
            ) from None
        yield
    finally:
        os.close(descriptor)
