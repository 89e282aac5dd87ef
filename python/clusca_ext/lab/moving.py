"""Where the full steps of a configuration lie: moved one by one, as ``clusca search`` does."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from clusca_ext.config import ClusCaConfig
from clusca_ext.lab.refine import words_of
from clusca_ext.lab.target import Target
from clusca_ext.lab.trials import Candidate, Trial, Trials
from clusca_ext.schedule import ByIndex, ExplicitSchedule, PlacedSchedule
from clusca_ext.search.moves import Steps, propose

LAST = 3  # placements, each better than those before, that are compared on all seeds


def fixed_steps(config: ClusCaConfig, num_steps: int) -> Steps | None:
    """Full steps of a run; None where its schedule does not fix them before."""
    decide = config.schedule.start(num_steps)
    if not isinstance(decide, ByIndex):
        return None
    return tuple(step for step in range(num_steps) if decide.is_full(step))


def full_steps(candidate: Candidate, num_steps: int) -> int:
    """How many it has; none where its schedule does not fix them before."""
    return len(fixed_steps(candidate.config, num_steps) or ())


def unmoved_for(config: ClusCaConfig, num_steps: int | None, transformers: int = 1) -> str:
    """Why its full steps cannot be moved; empty: they can."""
    if transformers > 1:
        return f"each of {transformers} transformers counts its own steps"
    if num_steps is None:
        return "draw.steps does not say how many steps a run has"
    steps = fixed_steps(config, num_steps)
    if steps is None:
        shows = hasattr(config.schedule, "signal")
        return (
            "its schedule decides by what steps show"
            if shows
            else "its steps compute single modules"
        )
    return "" if steps[:1] == (0,) and 1 < len(steps) < num_steps else "none of them can be"


@dataclass(frozen=True)
class _AsFast:
    """The quality of one trial at the speed of another, which does as much work."""

    trial: Trial
    other: Trial

    @property
    def psnr(self) -> float:
        return self.trial.psnr

    @property
    def psnr_error(self) -> float:
        return self.trial.psnr_error

    def speed(self, cost: str) -> float:
        return self.other.speed(cost)

    def speed_error(self, cost: str) -> float:
        return self.other.speed_error(cost)


def better(target: Target, new: Trial, old: Trial, as_fast: bool, surely: bool = False) -> bool:
    """By the target, and where it does not tell them apart, by quality.

    Args:
        target: What is asked for.
        new: A trial.
        old: Another one.
        as_fast: Whether they are known to take as long, whatever was measured.
        surely: As in ``Target.meets``.
    """
    mine = _AsFast(new, old) if as_fast else new
    return (target.rank(mine, surely), new.psnr) > (target.rank(old, surely), old.psnr)


def moved(
    trials: Trials, target: Target, tries: int, start: Candidate, seeds: range
) -> list[Candidate]:
    """From a candidate's placement of full steps to better ones, the best last.

    Moves are those of ``clusca search``. As many full steps take as long: these are told apart by
    quality. Where a quality is asked for, what was gained is spent on one full step less, as dense
    where the others are, if it still has that quality.

    Args:
        trials: What tries candidates; of a model whose steps are known.
        target: What is asked for.
        tries: Placements to try.
        start: A candidate whose schedule fixes full steps.
        seeds: What placements are compared on.
    """
    num_steps = trials.model.steps
    assert num_steps is not None
    steps, path = fixed_steps(start.config, num_steps), trials.tried([start], seeds)
    assert steps is not None
    counted = target.psnr is None and target.cost == "operations"  # without noise
    done, spend = {steps}, False
    for number in range(tries if path else 0):
        new = _fewer(steps, num_steps) if spend else None
        if new is None or new in done:
            new = propose(steps, num_steps, done, random.Random(number))
        if new is None:
            break
        done.add(new)
        config = replace(start.config, schedule=ExplicitSchedule(steps=new))
        found = trials.tried([Candidate(words_of(config), config)], seeds)
        as_fast = len(new) == len(steps) and not counted
        gains = bool(found) and better(target, found[0], path[-1], as_fast)
        if gains:
            path.append(found[0])
            steps = new
        spend = gains and target.psnr is not None
    return [trial.candidate for trial in path[1:]]


def best_of(
    trials: Trials, target: Target, start: Trial, path: Sequence[Candidate], seeds: range
) -> Trial:
    """The best of the last placements on more seeds, if one does better there than the start.

    Of every number of full steps the last one is among them.
    """
    num_steps, best = trials.model.steps, start
    assert num_steps is not None
    last = {full_steps(candidate, num_steps): candidate for candidate in path}
    chosen = [each for each in path if each in path[-LAST:] or each in last.values()]
    for trial in trials.tried(chosen, seeds):
        as_many = full_steps(trial.candidate, num_steps) == full_steps(best.candidate, num_steps)
        if better(target, trial, best, as_many and target.psnr is not None, surely=True):
            best = trial
    return best


def _fewer(steps: Steps, num_steps: int) -> Steps | None:
    """One full step less, as dense where these are."""
    if len(steps) < 3:
        return None
    placed = PlacedSchedule(fractions=tuple(step / (num_steps - 1) for step in steps))
    return placed.with_count(len(steps) - 1).full_steps(num_steps)
