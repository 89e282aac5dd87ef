"""Which times of rows are worth telling, and of which machine."""

from collections import Counter
from collections.abc import Iterable
from statistics import mean, median

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.journal import Row
from clusca_ext.quiet import is_quiet

HOSTS = 1.5  # how far hosts of one name lie apart, as a ratio: a rented machine is not always one

# By machine, batch and threads, and there by commit, seconds of a sample.
Fastest = dict[tuple[str, int, int | None], dict[str, float]]


def fastest(rows: Iterable[Row]) -> Fastest:
    """The full sampler's shortest times, of rows of one model without an error."""
    found: Fastest = {}
    for row in rows:
        if is_timed(row):
            seconds, commit = mean(row["full_seconds"]), row["commit"]
            of = found.setdefault(_times_of(row), {})
            of[commit] = min(seconds, of.get(commit, seconds))
    return found


def _times_of(row: Row) -> tuple[str, int, int | None]:
    return row["machine"], row["batch"], row.get("threads")


def is_timed(row: Row, among: Fastest | None = None) -> bool:
    """Whether a row's time is worth telling: the machine was quiet while it was measured.

    The full sampler took as long right after the setting as right before it, and the median of its
    own batches about as long as the fastest.

    Args:
        row: Of a setting.
        among: The full sampler's shortest times: it took about as long as the shortest of the same
            commit, too, for a machine that is busy all the while is busy evenly, and no longer than
            ``HOSTS`` times the shortest of all.
    """
    if row["error"] or not is_quiet(row["full_seconds"]):
        return False
    return is_quiet([median(row["seconds"]), min(row["seconds"])]) and _is_no_slower(row, among)


def _is_no_slower(row: Row, among: Fastest | None) -> bool:
    """Whether the full sampler took about as long beside a row as beside others."""
    of = {} if among is None else among.get(_times_of(row))
    if not of:
        return True
    seconds = mean(row["full_seconds"])
    return seconds <= HOSTS * min(of.values()) and is_quiet(
        [seconds, of.get(row["commit"], seconds)]
    )


def time_ratio(row: Row) -> Estimate:
    """The full sampler's time over a row's, taken right before and after it."""
    return metrics.speedup(row["full_seconds"], row["seconds"])


def machine_of(rows: Iterable[Row]) -> str:
    """Whose times are told, which are no other machine's: whoever has most, of one model.

    Of as many, whoever measured last.
    """
    several = list(rows)[::-1]
    among = fastest(row for row in several if row["error"] is None)
    timed: Counter[str] = Counter({row["machine"]: 0 for row in several})
    timed.update(row["machine"] for row in several if is_timed(row, among))
    ((machine, _),) = timed.most_common(1)
    return machine
