"""How long steps take: measured without holding the device up, read when somebody asks."""

import time
from collections import defaultdict

import torch


class StepTimes:
    """Durations by kind of step. On CUDA a step is a pair of events, elapsed when it is read."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._cuda = device, device.type == "cuda"
        self._marks: dict[str, list[tuple[object, object]]] = defaultdict(list)
        self._start: object = None

    def _now(self) -> object:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def start(self) -> None:
        """A step begins, unless one has: the first sample's is that of the looks at all, too."""
        if self._start is None:
            self._start = self._now()

    def stop(self, kind: str) -> None:
        self._marks[kind].append((self._start, self._now()))
        self._start = None

    def seconds(self) -> dict[str, list[float]]:
        """Duration of every step, by kind. Waits for the device."""
        if self._cuda:
            torch.cuda.synchronize(self._device)
        return {
            kind: [self._elapsed(start, stop) for start, stop in marks]
            for kind, marks in self._marks.items()
        }

    @staticmethod
    def _elapsed(start: object, stop: object) -> float:
        if isinstance(start, float) and isinstance(stop, float):
            return stop - start
        assert isinstance(start, torch.cuda.Event) and isinstance(stop, torch.cuda.Event)
        return float(start.elapsed_time(stop)) / 1000
