"""What a round is timed with, and what the caches hold when it begins."""

import time
from collections.abc import Callable

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# On a CPU repeated calls find in cache what fits there: warm is all there is.
CACHES = ("warm", "cold") if DEVICE == "cuda" else ("warm",)
FLUSH_BYTES = 2**30  # far more than any L2; its two writes last about half a millisecond


class DeviceInstant:
    """When the device gets here in its queue; the host does not wait until instants are compared.

    A round's queue is [flush, instant, call, instant]. The host fills it while the device still
    flushes, so that the difference is device time: no launch latency, no synchronisation.
    """

    def __init__(self) -> None:
        self.event = torch.cuda.Event(enable_timing=True)
        self.event.record()

    def __sub__(self, earlier: "DeviceInstant") -> float:
        self.event.synchronize()
        return earlier.event.elapsed_time(self.event) * 1e-3


def now() -> float | DeviceInstant:
    """A timer for pytest-benchmark, which only takes differences of what it returns."""
    return DeviceInstant() if DEVICE == "cuda" else time.perf_counter()


def before_round(cache: str, call: Callable[[], object]) -> Callable[[], None] | None:
    """What to run, untimed, before every round of ``call``."""
    if DEVICE == "cpu":
        return None
    flushed = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=DEVICE)

    def setup() -> None:
        for _ in range(2):
            flushed.zero_()
        if cache == "warm":
            call()

    return setup


def rounds_for(call: Callable[[], object], quick: bool) -> int:
    """Warm the call up; return how many rounds of it there is time for."""
    if quick:
        call()
        return 3
    seconds, fewest, most = (0.05, 20, 50) if DEVICE == "cuda" else (1.0, 5, 2000)
    start, calls = time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - start < seconds / 5:
        call()
        calls += 1
        if DEVICE == "cuda":
            torch.cuda.synchronize()
    each = (time.perf_counter() - start) / calls
    return max(fewest, min(most, int(seconds / each)))
