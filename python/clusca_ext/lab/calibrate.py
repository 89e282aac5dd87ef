"""Searches the configuration that is best for one model and one target.

A coarse grid of all methods on a few seeds, around the interval at which bounded Taylor meets the
target; the better third of them on more seeds, twice (successive halving, Jamieson and Talwalkar
2016); small changes of the best as long as they gain; moves of its full steps. What is chosen meets
the target by a standard error more, if anything does. It is measured on seeds that the search has
not seen, beside bounded Taylor, evenly placed, with the number of full steps that is best for the
same target. From the same measurements the search takes the same decisions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from clusca_ext.checks import integer, integers
from clusca_ext.lab.candidates import (
    Own,
    different,
    evenly_between,
    grid,
    names_for,
    placements,
)
from clusca_ext.lab.methods import BASELINE, BASELINE_ORDER
from clusca_ext.lab.models import shown_by
from clusca_ext.lab.moving import LAST, best_of, moved, unmoved_for
from clusca_ext.lab.own_masks import MasksOf
from clusca_ext.lab.refine import neighbours, words_of
from clusca_ext.lab.sweep import INTERVALS, above, best_first, interval_of, near
from clusca_ext.lab.target import Target
from clusca_ext.lab.trials import Candidate, Trial, Trials
from clusca_ext.targets import transformers_of

ORDERS = (1, 2, 3)
HELD_OUT = 10_000  # the first seed of those that the search does not see


@dataclass(frozen=True)
class Effort:
    """How much is tried.

    Attributes:
        rungs: Seeds of every round of halving, ascending.
        kept: Share of trials that go on to the next round.
        least: Trials that go on at least.
        rounds: Rounds of small changes at most.
        tries: Placements of full steps at most.
        held_out: Seeds of the validation.
    """

    rungs: tuple[int, ...] = (4, 12, 36)
    kept: float = 1 / 3
    least: int = 3
    rounds: int = 16
    tries: int = 40
    held_out: int = 32

    def __post_init__(self) -> None:
        integers("rungs", self.rungs, 1, HELD_OUT)
        integer("tries", self.tries, 0)
        if not self.rungs or list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs must ascend, one at least, got {list(self.rungs)}")

    @property
    def seeds(self) -> range:
        """Those of small changes and moves."""
        return range(self.rungs[min(1, len(self.rungs) - 1)])


@dataclass(frozen=True)
class Found:
    """What a search ends with.

    Attributes:
        best: The trial chosen, on the search's seeds.
        baseline: Bounded Taylor, evenly placed, with as many full steps as are best for the target.
        best_held_out: The same configurations on seeds that the search has not seen.
        baseline_held_out: None where bounded Taylor failed.
        unmoved_held_out: What the chosen one was before its full steps were moved; None where that
            gained nothing.
        unmoved_for: Why they could not be moved; empty: they could.
    """

    best: Trial
    baseline: Trial | None
    best_held_out: Trial
    baseline_held_out: Trial | None
    unmoved_held_out: Trial | None = None
    unmoved_for: str = ""


def search(
    trials: Trials,
    target: Target,
    effort: Effort = Effort(),  # noqa: B008 (frozen)
    methods: Sequence[str] | None = None,
    tell: Callable[[str], None] = lambda words: None,
    own: Own | None = None,
    also: Sequence[Candidate] = (),
) -> Found:
    """The best configuration.

    Args:
        trials: What tries candidates.
        target: What is asked for.
        effort: How much is tried.
        methods: Names of methods; None: all that were not fitted to another model.
        tell: Told what is tried now.
        own: Methods that were measured of this model.
        also: Configurations to try beside.

    Raises:
        ValueError: Not one candidate could be measured.
        OutOfTime: The limit was reached; a second call goes on from there.
    """
    first, last = range(effort.rungs[0]), range(effort.rungs[-1])
    tell("bounded Taylor at every interval")
    swept = trials.tried(grid([BASELINE], INTERVALS, [BASELINE_ORDER]), first)
    beside = near(swept, target, trials.model.steps)
    names = names_for(trials.model, own or {}) if methods is None else methods
    even = [trial.candidate for trial in swept if interval_of(trial) in beside]
    between, counts = evenly_between(even, trials.model.steps)
    swept += trials.tried(between, first)
    even += between
    alive = [*even, *placements(methods, counts)]
    alive += grid([name for name in names if name != BASELINE], beside, ORDERS, own)
    alive += grid([BASELINE], beside, [order for order in ORDERS if order != BASELINE_ORDER])
    alive = different([*alive, *also])
    ranked: list[Trial] = []
    for rung in effort.rungs:
        tell(f"{len(alive)} candidates on {rung} seeds")
        ranked = trials.tried(alive, range(rung))
        if not ranked:
            raise ValueError(f"not one candidate could be measured: {_first(trials)}")
        ranked.sort(key=lambda trial: above(trial, swept, target), reverse=True)
        keep = max(effort.least, ceil(len(ranked) * effort.kept))
        alive = [trial.candidate for trial in ranked[:keep]]
        nearest = best_first(ranked, target)[0].candidate
        alive += [nearest] if nearest not in alive else []
    tell("small changes of the best")
    starts = _starts(alive, ranked, target)
    refined = [each for s in starts for each in _climb(trials, target, effort, s, own or {})]
    evenly = best_first(trials.tried(even, last), target, surely=True)
    baseline = _one(evenly)
    measured = [*ranked, *trials.tried(refined, last), *evenly]
    unmoved = best = best_first(measured, target, surely=True)[0]
    shown = shown_by(trials.model)
    parts = 1 if shown is None else len(transformers_of(shown))
    reason = unmoved_for(best.candidate.config, trials.model.steps, parts)
    if effort.tries and not reason:
        tell("moves of its full steps")
        placed = moved(trials, target, effort.tries, best.candidate, effort.seeds)
        best = best_of(trials, target, best, placed, last)
    tell("seeds that the search has not seen")
    unseen = range(HELD_OUT, HELD_OUT + effort.held_out)
    held_out = trials.tried([best.candidate], unseen)
    if not held_out:
        raise ValueError(f"the chosen one fails on held-out seeds: {_first(trials)}")
    theirs = trials.tried([baseline.candidate], unseen) if baseline else []
    before = trials.tried([unmoved.candidate], unseen) if best is not unmoved else []
    return Found(best, baseline, held_out[0], _one(theirs), _one(before), reason)


def _one(trials: Sequence[Trial]) -> Trial | None:
    return trials[0] if trials else None


def _first(trials: Trials) -> str:
    return next((f"{name}: {error}" for name, error in trials.failed.items()), "none was tried")


def _starts(alive: Sequence[Candidate], ranked: Sequence[Trial], target: Target) -> list[Candidate]:
    """Where small changes begin: what is furthest above bounded Taylor at its own speed, which one
    change may bring to the target, and what is best for the target as it is."""
    nearest = best_first(ranked, target)[0].candidate
    return [alive[0]] if nearest.config == alive[0].config else [alive[0], nearest]


def _climb(
    trials: Trials, target: Target, effort: Effort, start: Candidate, own: Own
) -> list[Candidate]:
    """From a candidate to its best neighbour, as long as one is better; the last of them.

    Where a quality is asked for, a neighbour that is as fast and has more of it is a step on the
    way to one that spends it.
    """
    path = trials.tried([start], effort.seeds)
    for _ in range(effort.rounds):
        best = path[-1]
        gone = [trial.candidate.config for trial in path]
        around = [each for each in _around(best.candidate, own) if each.config not in gone]
        ranked = best_first(trials.tried(around, effort.seeds), target)
        better = [each for each in ranked if target.rank(each) > target.rank(best)]
        better += [each for each in ranked if target.lifts(each, best)]
        if not better:
            break
        path.append(better[0])
    return [trial.candidate for trial in best_first(path, target)[:LAST]]


def _around(candidate: Candidate, own: Own) -> list[Candidate]:
    """Small changes, and of masks those that leave out a little less or more."""
    ladders = [method for method in own.values() if isinstance(method, MasksOf)]
    masks = ladders[0].beside(candidate.config) if ladders else []
    return [*neighbours(candidate), *(Candidate(words_of(config), config) for config in masks)]
