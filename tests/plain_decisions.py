"""What published schedules decide by what steps show, in plain loops; and what ours decide.

Decisions are a letter a step: f full, c cached, v cached and verified.
"""

from clusca_ext.schedule import Step
from clusca_ext.schedule.decision import VERIFIED


def replayed(schedule, shown):
    """What a schedule makes of a run whose steps show these numbers; None where nothing is seen."""
    decide, last, letters, told = schedule.start(len(shown)), None, "", None
    afterwards = schedule.signal.kind in (*VERIFIED, "residual")
    for index, change in enumerate(shown):
        step = Step(index, len(shown), last)
        if told is not None:
            decide.see(step, told)
        full = decide(step)
        if full is None:
            full = decide.see(step, change)
        last = index if full else last
        letters += "f" if full else "v" if decide.verifies else "c"
        seen = full if schedule.signal.kind == "residual" else decide.verifies
        told = change if afterwards and seen else None
    return letters


def ours(index, steps):
    return index / (steps - 1)


def as_published(index, steps):
    """Of the code for DiT, which counts steps down."""
    return (index + 1) / steps


def counted_up(index, steps):
    """Of that for FLUX.1 and HunyuanVideo."""
    return index / steps


def speca(errors, progress, *, threshold, decay, floor, least, most, first=3):
    """The state machine of SpeCa's code for DiT, which counts cached steps after it has compared.

    Args:
        errors: What each step would show if it were verified.
        progress: From a step's index and the number of steps.
        threshold: Base threshold.
        decay: Decay rate.
        floor: Least threshold.
        least: ``min_taylor_steps``.
        most: ``max_taylor_steps``.
        first: ``first_enhance``.
    """
    counter, checks, error, letters = 0, False, None, ""
    for index in range(len(errors)):
        if letters.endswith("f"):
            full, checks, error = False, False, None
        else:
            allowed = max(threshold * decay ** progress(index, len(errors)), floor)
            checks = counter >= least
            failed = checks and error is not None and error > allowed
            full = index < first or counter >= most or failed
        counter = 0 if full else counter + 1
        if not full and checks:
            error = errors[index]
        letters += "f" if full else "v" if checks else "c"
    return letters


def teacache(changes, threshold, polynomial):
    """Changes of the modulated input add up, each as its polynomial says; both ends are full."""
    total, letters, degree = 0.0, "", len(polynomial) - 1
    for index, change in enumerate(changes):
        full = index in (0, len(changes) - 1)
        if not full:
            total += sum(c * change ** (degree - i) for i, c in enumerate(polynomial))
            full = total >= threshold
        if full:
            total = 0.0
        letters += "f" if full else "c"
    return letters


def first_block(changes, threshold):
    """Every change since the last full step is compared, none adds up."""
    return "f" + "".join("f" if change > threshold else "c" for change in changes[1:])


def adacache(changes, codebook):
    """Two full steps show a change; every later full one says by the codebook where the next is."""
    letters, due = "", 0
    for index, change in enumerate(changes):
        full = index < 2 or index == due
        if full:
            interval = 1
            if 0 < index < len(changes) - 1:  # that of the last step is not asked for
                for bound, skips in reversed(codebook):
                    interval = skips if change < bound else interval
            due = index + interval
        letters += "f" if full else "c"
    return letters
