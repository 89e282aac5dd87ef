"""What a round is timed with, and what the caches hold when it begins."""

import time
from collections.abc import Callable
from statistics import median

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # where nothing else is asked for
FLUSH_BYTES = 2**30  # far more than any L2; its two writes last about half a millisecond


def is_gpu(device: str) -> bool:
    return device.startswith("cuda")


def caches(device: str = DEVICE) -> tuple[str, ...]:
    """On a CPU repeated calls find in cache what fits there: warm is all there is."""
    return ("warm", "cold") if is_gpu(device) else ("warm",)


CACHES = caches()


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
        return float(earlier.event.elapsed_time(self.event)) * 1e-3


def now() -> float | DeviceInstant:
    """A timer for pytest-benchmark, which only takes differences of what it returns."""
    return DeviceInstant() if DEVICE == "cuda" else time.perf_counter()


def before_round(
    cache: str, call: Callable[[], object], device: str = DEVICE
) -> Callable[[], None] | None:
    """What to run, untimed, before every round of ``call``."""
    if not is_gpu(device):
        return None
    flushed = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=device)

    def setup() -> None:
        for _ in range(2):
            flushed.zero_()
        if cache == "warm":
            call()

    return setup


def rounds_for(call: Callable[[], object], quick: bool, device: str = DEVICE) -> int:
    """Warm the call up; return how many rounds of it there is time for."""
    if quick:
        call()
        return 3
    seconds, fewest, most = (0.05, 20, 50) if is_gpu(device) else (1.0, 5, 2000)
    start, calls = time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - start < seconds / 5:
        call()
        calls += 1
        if is_gpu(device):
            torch.cuda.synchronize(device)
    each = (time.perf_counter() - start) / calls
    return max(fewest, min(most, int(seconds / each)))


def median_seconds(
    call: Callable[[], object], cache: str, device: str = DEVICE, quick: bool = False
) -> float:
    """Of the rounds there is time for, after a warm-up: device time, on a GPU."""
    if not is_gpu(device):
        return _median(call, time.perf_counter, None, rounds_for(call, quick, device))
    with torch.cuda.device(device):  # events are recorded on the current one
        setup, rounds = before_round(cache, call, device), rounds_for(call, quick, device)
        return _median(call, DeviceInstant, setup, rounds)


def _median(
    call: Callable[[], object],
    instant: Callable[[], float] | Callable[[], DeviceInstant],
    setup: Callable[[], None] | None,
    rounds: int,
) -> float:
    marks = []
    for _ in range(rounds):
        if setup is not None:
            setup()
        start = instant()
        call()
        marks.append((start, instant()))
    return median(stop - start for start, stop in marks)  # type: ignore[operator]
