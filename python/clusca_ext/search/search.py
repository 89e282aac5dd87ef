"""The search: from even placement, random local moves, the better one is kept."""

import pathlib
import random
from contextlib import nullcontext
from statistics import mean

import torch
from rich.progress import Progress

from clusca_ext.checks import integer
from clusca_ext.demo.judge import Estimate, estimate
from clusca_ext.search.draws import Draw
from clusca_ext.search.journal import HELD_OUT, TRY, Journal, Scored
from clusca_ext.search.moves import Steps, even_placement, propose
from clusca_ext.search.placement import Placement
from clusca_ext.search.score import Scorer
from clusca_ext.search.settings import SearchSettings
from clusca_ext.writing import alone

ALIKE = 0.1  # dB, of a placement that is drawn as before
CLEAR = 60.0  # dB, beyond which rounding moves them by more


def find_placement(
    draw: Draw,
    settings: SearchSettings,
    *,
    tries: int = 100,
    journal: str | pathlib.Path | None = None,
    progress: Progress | None = None,
) -> Placement:
    """Search which steps of a run should be full.

    A placement's score is the mean PSNR of its final pictures to the full sampler's on the training
    seeds. From the even placement on, one or two full steps are moved by 1 to 3 steps at random, or
    one with all others; what scores better is kept. It may be interrupted at any time: with a
    journal, the same call goes on, and gives what an uninterrupted one would have; before it draws
    anything new, the even placement is drawn again, which tells whether ``draw`` is still the same.

    Args:
        draw: Draws the pictures.
        settings: What is searched.
        tries: Placements to score beside the even one, those in the journal included. The search
            ends before where no move is left that was not tried.
        journal: File of what was drawn, one line each; None: only in memory.
        progress: Where to show tries and gain.

    Raises:
        ValueError: An argument does not fit, or the journal is of other settings or pictures, or
            written by another process.
    """
    integer("tries", tries, 0)
    with nullcontext() if journal is None else alone(pathlib.Path(journal)):
        return _find(draw, settings, tries, Journal(journal, settings.to_dict()), progress)


def _find(
    draw: Draw, settings: SearchSettings, tries: int, kept: Journal, progress: Progress | None
) -> Placement:
    scorer, before = Scorer(draw, settings.config, settings.training), list(kept.tries[:1])
    even = even_placement(settings.num_steps, settings.full_steps)
    task = None if progress is None else progress.add_task("search", total=tries)
    done: list[Scored] = []
    best = 0
    while len(done) <= tries:
        if len(done) < len(kept.tries):
            scored = kept.tries[len(done)]
        else:
            steps = _next(settings, done, best) if done else even
            if steps is None:
                break
            _require_same(scorer, before, kept)
            scored = scorer(steps)
            kept.add(TRY, scored)
        done.append(scored)
        if mean(scored.psnr) > mean(done[best].psnr):
            best = len(done) - 1
        if progress is not None and task is not None:
            gain = _gain(done[best], done[0])
            words = f"try {len(done) - 1} of {tries}, gain {gain:+} dB"
            progress.update(task, completed=len(done) - 1, description=words)
    judged = Scorer(draw, settings.config, settings.held_out)
    for steps in (even, done[best].steps):
        if steps not in kept.held_out:
            _require_same(scorer, before, kept)
            if progress is not None and task is not None:
                progress.update(task, description="held-out seeds")
            kept.add(HELD_OUT, judged(steps))
    found = kept.held_out[done[best].steps]
    return Placement(
        steps=done[best].steps,
        gain=_gain(done[best], done[0]),
        held_out_gain=_gain(found, kept.held_out[even]),
        held_out_psnr=estimate(torch.tensor(found.psnr)),
        tries=len(done) - 1,
        settings=settings,
    )


def _require_same(scorer: Scorer, before: list[Scored], kept: Journal) -> None:
    """Once, the even placement must draw what it drew when the journal began."""
    if not before:
        return
    then = before.pop()
    now = scorer(then.steps)
    pairs = zip(now.psnr, then.psnr, strict=True)
    gap = max(abs(min(a, CLEAR) - min(b, CLEAR)) for a, b in pairs)
    if gap > ALIKE:
        raise ValueError(
            f"draw must draw what it drew when {kept.path} began, its PSNR within {ALIKE:g} dB, "
            f"got {gap:.2f} dB off: model, sampler, prompts or precision are others, or it rounds "
            "otherwise here; for a new search name another file"
        )


def _next(settings: SearchSettings, done: list[Scored], best: int) -> Steps | None:
    """Depends on the settings' seed and what was done alone, not on when it was done."""
    rng = random.Random(f"{settings.seed}, {len(done)}")
    tried = {scored.steps for scored in done}
    return propose(done[best].steps, settings.num_steps, tried, rng)


def _gain(scored: Scored, even: Scored) -> Estimate:
    return estimate(torch.tensor(scored.psnr) - torch.tensor(even.psnr))
