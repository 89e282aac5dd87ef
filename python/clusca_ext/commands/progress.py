"""The progress bar of a job whose steps are told one by one."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Bar:
    """A bar over all steps of a job; it leaves nothing behind on the screen.

    Args:
        console: Where it is shown; nowhere, where that is no terminal.
        total: Steps, as far as they are known.
    """

    def __init__(self, console: Console, total: int | None = None) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._task: TaskID = self._progress.add_task("loading", total=total)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def expect(self, total: int | None) -> None:
        """So many steps there will be."""
        self._progress.update(self._task, total=total)

    def begin(self, words: str) -> None:
        """What is done from here on."""
        self._progress.update(self._task, description=words)

    def step(self) -> None:
        self._progress.advance(self._task)

    def reach(self, steps: int) -> None:
        """So many of them are done, however they were told."""
        self._progress.update(self._task, completed=steps)
