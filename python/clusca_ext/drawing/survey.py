"""Several caches on one pipeline, in turn with the pipeline itself: rows as benches have them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from clusca_ext.drawing.choice import Choice
from clusca_ext.drawing.compare import FULL, Watch
from clusca_ext.drawing.draw import Drawn, draw, psnr
from clusca_ext.drawing.sources import Source
from clusca_ext.enable import cache, summary
from clusca_ext.measuring.rows import Row
from clusca_ext.quiet import QUIET, is_quiet
from clusca_ext.summary import Summary

BUSY = "the machine was not quiet: the full sampler's own times differ by more than"


@dataclass
class Runs:
    """Runs of one cache, or of none.

    Attributes:
        name: Its name.
        drawn: Timed runs.
        summary: What the cache did in the last of them.
        note: Why there are none.
    """

    name: str
    drawn: list[Drawn] = field(default_factory=list)
    summary: Summary | None = None
    note: str = ""

    @property
    def seconds(self) -> float:
        """Their median."""
        return median(each.seconds for each in self.drawn)


class Survey:
    """Runs of all caches.

    Args:
        source: The pipeline, without a cache.
        inputs: What it is given.
        choices: The caches.
        seed: Of its noise.
    """

    def __init__(
        self, source: Source, inputs: dict[str, Any], choices: Sequence[Choice], seed: int
    ) -> None:
        self._source, self._inputs, self._choices, self._seed = source, inputs, choices, seed
        self.full = Runs(FULL)
        self.cached = [Runs(choice.name) for choice in choices]

    def run(self, repeats: int, warms_up: bool, watch: Watch) -> Iterator[None]:
        """Every run in turn, so often; a first turn that warms up is not timed.

        A cache that cannot be used says so in its note, and the others go on. It stops for whoever
        iterates after every turn.
        """
        for turn in range(repeats + warms_up):
            is_timed = turn >= warms_up
            self._keep(self.full, self._draw(FULL, watch), is_timed)
            for choice, runs in zip(self._choices, self.cached, strict=True):
                if runs.note:
                    continue
                try:
                    with cache(self._source.pipeline, choice.config):
                        self._keep(runs, self._draw(choice.name, watch), is_timed)
                        runs.summary = summary(self._source.pipeline)
                except (ValueError, RuntimeError) as error:
                    runs.note = f"not measured: {str(error).splitlines()[0]}"
            yield

    def _draw(self, words: str, watch: Watch) -> Drawn:
        watch.begin(words)
        return draw(self._source, self._inputs, self._seed, watch.step)

    @staticmethod
    def _keep(runs: Runs, drawn: Drawn, is_timed: bool) -> None:
        if is_timed:
            runs.drawn.append(drawn)

    @property
    def is_quiet(self) -> bool | None:
        """Whether the full sampler took equally long every time; None: it ran once."""
        seconds = [each.seconds for each in self.full.drawn]
        return None if len(seconds) < 2 else is_quiet(seconds)

    def speedup(self, runs: Runs) -> float:
        return self.full.seconds / runs.seconds

    def psnr(self, runs: Runs) -> float:
        return psnr(runs.drawn[0].frames, self.full.drawn[0].frames)

    def rows(self, shape: str, dtype: str) -> list[Row]:
        """As ``bench/results`` has them; none before the first timed run."""
        if not self.full.drawn:
            return []
        doubt = {"doubt": f"{BUSY} {QUIET - 1:.0%}"} if self.is_quiet is False else {}
        found = []
        for runs in (self.full, *self.cached):
            row: Row = {"bench": "pipeline", "shape": shape, "dtype": dtype, "impl": runs.name}
            if runs.note:
                row["note"] = runs.note
            elif runs.drawn:
                row |= self._numbers(runs) | doubt
            else:
                continue  # interrupted before its first timed run
            found.append(row)
        return found

    def _numbers(self, runs: Runs) -> Row:
        row: Row = {"seconds": round(runs.seconds, 4), "repeats": len(runs.drawn)}
        if runs is self.full:
            return row | {"speedup": 1.0}
        value = self.psnr(runs)
        row |= {
            "speedup": round(self.speedup(runs), 3),
            "psnr_db": None if value == float("inf") else round(value, 2),  # None: identical
        }
        done = runs.summary
        if done is not None:
            row |= {"full": done.full, "cached": done.cached, "partial": done.partial}
            row |= {"cache_mib": round(done.cache_bytes / 2**20, 2), "storage": done.storage}
        return row
