"""Local moves of full steps: what a search may try next."""

import random
from collections.abc import Callable, Set
from functools import partial
from itertools import combinations, product

from clusca_ext.schedule import EvenSchedule

Steps = tuple[int, ...]
REACH = 3  # steps that a full step moves at most
SHIFTS = tuple(shift for shift in range(-REACH, REACH + 1) if shift)


def even_placement(num_steps: int, full_steps: int) -> Steps:
    """As many full steps, spread evenly from the first step to the last."""
    return EvenSchedule(interval=num_steps, warmup=full_steps).full_steps(num_steps)


def neighbours(steps: Steps, num_steps: int, moved: int) -> set[Steps]:
    """All placements where ``moved`` full steps lie 1 to ``REACH`` steps from where they were.

    Step 0 stays full, steps stay distinct and below ``num_steps``, and ascend.
    """
    found = set()
    for chosen in combinations(range(1, len(steps)), moved):
        others = [step for i, step in enumerate(steps) if i not in chosen]
        for shifts in product(SHIFTS, repeat=moved):
            new = [steps[i] + shift for i, shift in zip(chosen, shifts, strict=True)]
            together = {*others, *new}
            if len(together) == len(steps) and min(new) > 0 and max(new) < num_steps:
                found.add(tuple(sorted(together)))
    return found - {steps}


def stretches(steps: Steps, num_steps: int) -> set[Steps]:
    """All placements where a full step moves and takes the others along.

    Those before it and those after it keep their proportions between it and the ends. Where a
    denser beginning is better, a full step that moves alone may lose by its gap to the next one.
    """
    found = set()
    for moved, shift in product(range(1, len(steps)), SHIFTS):
        old, new, end = steps[moved], steps[moved] + shift, steps[-1]
        before = [round(step * new / old) for step in steps[:moved]]
        after = [
            round(new + (step - old) * (end - new) / (end - old)) for step in steps[moved + 1 :]
        ]
        together = {*before, new, *after}
        if len(together) == len(steps) and min(together) == 0 and max(together) < num_steps:
            found.add(tuple(sorted(together)))
    return found - {steps}


def propose(steps: Steps, num_steps: int, tried: Set[Steps], rng: random.Random) -> Steps | None:
    """One full step moved, or two, or one with all others; None where all of that was tried."""
    one, two = partial(neighbours, moved=1), partial(neighbours, moved=2)
    kinds: list[Callable[[Steps, int], set[Steps]]] = [one, two, stretches]
    for kind in rng.sample(kinds, len(kinds)):
        untried = sorted(kind(steps, num_steps) - tried)
        if untried:
            return rng.choice(untried)
    return None
