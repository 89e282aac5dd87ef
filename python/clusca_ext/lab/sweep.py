"""What bounded Taylor at every interval tells: what belongs to a target, and what is above it."""

from collections.abc import Sequence
from math import log10

import numpy as np

from clusca_ext.demo.judge import HIGHEST
from clusca_ext.lab.moving import full_steps
from clusca_ext.lab.target import Target
from clusca_ext.lab.trials import Trial

INTERVALS = (2, 3, 4, 5, 6, 7, 8, 10, 12)


def best_first(trials: Sequence[Trial], target: Target, surely: bool = False) -> list[Trial]:
    return sorted(trials, key=lambda trial: target.rank(trial, surely), reverse=True)


def interval_of(trial: Trial) -> int:
    return int(trial.row["config"]["schedule"]["interval"])


def near(swept: Sequence[Trial], target: Target, num_steps: int | None) -> list[int]:
    """The interval at which bounded Taylor does best for the target, and those beside it.

    To both sides up to one that has another number of full steps, where that is known.
    """
    intervals = [interval_of(trial) for trial in swept]
    if not intervals:
        return list(INTERVALS)
    counts = intervals
    if num_steps is not None:
        counts = [full_steps(trial.candidate, num_steps) for trial in swept]
    low = high = best = intervals.index(interval_of(best_first(swept, target)[0]))
    while low > 0 and counts[low] == counts[best]:
        low -= 1
    while high < len(counts) - 1 and counts[high] == counts[best]:
        high += 1
    return intervals[low : high + 1]


def above(trial: Trial, swept: Sequence[Trial], target: Target) -> float:
    """PSNR above that of bounded Taylor at the same speed, interpolated between what was swept.

    What is slower than that is beside errors that fall to none at the full sampler's own speed. Few
    seeds and short runs say with an error on which side of the target a trial lies, and a small
    change of its interval moves it to the other: near the target this says more.
    """
    if not swept:
        return trial.psnr
    speeds, values = zip(*sorted((t.speed(target.cost), t.psnr) for t in swept), strict=True)
    speed = trial.speed(target.cost)
    at = float(np.interp(speed, speeds, values))
    if speed < speeds[0]:
        at = HIGHEST if speed <= 1 else at + 10 * log10((speeds[0] - 1) / (speed - 1))
    return trial.psnr - min(at, HIGHEST)
