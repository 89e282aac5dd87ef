"""How long runs took, in a way in which two of them can be compared."""

from clusca_ext.recording import Recording


def seconds_of(reference: Recording, run: Recording) -> tuple[float, float] | None:
    """Durations of both: without a recorder where both were run so, else less what it cost.

    None: one of them took no time that is known.
    """
    if reference.unrecorded_seconds and run.unrecorded_seconds:
        return reference.unrecorded_seconds, run.unrecorded_seconds
    both = tuple(each.wall_seconds - each.cost_seconds for each in (reference, run))
    return (both[0], both[1]) if min(both) > 0 else None
