"""What the CPU's allocator is asked for, seen by torch's own profiler."""

import gc
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def allocated(function: Callable[[], object]) -> tuple[int, int]:
    """Bytes that a function leaves allocated, and the most that were at any time in it."""
    gc.collect()  # what others have left is not to be freed meanwhile
    gc.disable()
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            held = function()
    finally:
        gc.enable()
    live = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    del held
    return live, peak
