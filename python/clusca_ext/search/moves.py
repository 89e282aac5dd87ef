"""Local moves of full steps: what a search may try next."""

import random
from collections.abc import Set
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


def propose(steps: Steps, num_steps: int, tried: Set[Steps], rng: random.Random) -> Steps | None:
    """A neighbour that was not tried: one full step moved, or two; None where there is none."""
    for moved in rng.sample((1, 2), 2):
        untried = sorted(neighbours(steps, num_steps, moved) - tried)
        if untried:
            return rng.choice(untried)
    return None
