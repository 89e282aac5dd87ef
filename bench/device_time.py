"""What cached steps cost the device, launches aside: their kernels, and one in a CUDA graph."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from loop import Loop

REPLAYS = 20


@contextlib.contextmanager
def counted(loop: Loop, found: list[tuple[int, float]]) -> Iterator[None]:
    """A step's kernels and how many milliseconds they run, launches and waiting aside."""
    loop.now()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        yield
        loop.now()
    kernels = [
        each
        for each in profiler.events()
        if each.device_type == DeviceType.CUDA and not each.is_user_annotation
    ]
    microseconds = sum(each.time_range.elapsed_us() for each in kernels)
    found.append((len(kernels), microseconds / 1e3))


@contextlib.contextmanager
def graphed(loop: Loop, measured: dict[str, object]) -> Iterator[None]:
    """A step's forward is captured, and replayed again and again.

    What hooks on the model do before and after it, as a cache that decides about the step, is not
    in the graph: they run once, and their time is not counted. Nor is what the first cached step of
    an interval prepares for the others, which the mean of ``counted`` steps has.
    """
    model: Any = loop.model
    before = vars(model).get("forward")

    def forward(*args: Any, **kwargs: Any) -> Any:
        restore()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = model.forward(*args, **kwargs)
        graph.replay()
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(REPLAYS):
            graph.replay()
        stop.record()
        stop.synchronize()
        measured["cached_graph_ms"] = round(start.elapsed_time(stop) / REPLAYS, 3)
        return out

    def restore() -> None:
        vars(model).pop("forward", None)
        if before is not None:
            model.forward = before

    model.forward = forward
    try:
        yield
    finally:
        restore()


def recover() -> None:
    """After a capture that failed torch's generator still takes itself to be captured."""
    torch.cuda.synchronize()
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(generator.clone_state())
