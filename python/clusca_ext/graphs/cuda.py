"""Captures CUDA graphs. All graphs of a cache share memory: one of them runs at a time."""

import contextlib
import threading
import weakref
from typing import Protocol

import torch

from clusca_ext.graphs.captured import Recording
from clusca_ext.graphs.values import Unfit

_of_thread = threading.local()
_failed: list[torch.cuda.CUDAGraph] = []  # torch's allocators may still ask these what they capture


class Backend(Protocol):
    """Captures what the device is told to do. Tests have one that needs no device.

    A capture is two calls, not one that is given a function: no frame of ours may come between
    Dynamo and what it compiles.
    """

    def begin(self) -> None:
        """What comes now is captured."""

    def end(self) -> Recording:
        """What was captured."""

    def abandon(self) -> None:
        """Nothing comes of what was begun, if anything was."""

    def is_busy(self) -> bool:
        """Whether somebody else is capturing."""

    def follow(self) -> None:
        """What the caller's stream does next comes after what was replayed on others."""

    def release(self, recordings: list[Recording]) -> None:
        """These are not replayed any more."""


def backend_of(device: torch.device) -> Backend:
    """
    Raises:
        Unfit: There are no graphs on this device.
    """
    if device.type != "cuda":
        raise Unfit(f"graphs are CUDA's, and the model is on {device}")
    return CudaBackend(device)


class CudaBackend:
    """Captures on a stream of its own.

    Args:
        device: Where the model is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = _stream_of(device)
        self._alive: weakref.WeakSet[_Graph] = weakref.WeakSet()
        self._before: tuple[torch.cuda.Stream, int, bool] | None = None  # while it captures
        self._replayed_on: torch.cuda.Stream | None = None

    def begin(self) -> None:
        stream, cached = torch.cuda.current_stream(self._device), torch.is_autocast_cache_enabled()
        self._before = stream, torch.cuda.current_device(), cached
        # What autocast has made of weights is gone when autocast ends: a graph makes its own.
        torch.set_autocast_cache_enabled(False)
        if not self._alive:  # a pool that no graph uses any more cannot be used again
            self._pool = torch.cuda.graph_pool_handle()
        self._graph = torch.cuda.CUDAGraph()
        # Of this thread alone: other threads may run other pipelines.
        self._capture = torch.cuda.graph(
            self._graph,
            pool=self._pool,
            stream=self._stream,
            capture_error_mode="thread_local",
        )
        torch.cuda.synchronize(self._device)
        self._capture.__enter__()

    def end(self) -> Recording:
        self._capture.__exit__(None, None, None)
        self._restore()
        recording = _Graph(self, self._graph)
        self._alive.add(recording)
        return recording

    def abandon(self) -> None:
        if self._before is None:
            return
        with contextlib.suppress(RuntimeError):
            self._graph.capture_end()  # raises where the capture is broken, which this ends, too
        self._restore()
        torch.cuda.synchronize(self._device)
        with contextlib.suppress(RuntimeError):  # where capture_end did it
            torch._C._cuda_endAllocateToPool(self._device.index, self._pool)
        with contextlib.suppress(RuntimeError):
            self._graph.reset()
        _failed.append(self._graph)
        with contextlib.suppress(RuntimeError):  # torch's generator may take itself to be captured
            generator = torch.cuda.default_generators[self._device.index]
            generator.graphsafe_set_state(generator.clone_state())

    def is_busy(self) -> bool:
        with torch.cuda.device(self._device):
            return torch.cuda.is_current_stream_capturing()

    def follow(self) -> None:
        stream = torch.cuda.current_stream(self._device)
        if self._replayed_on is not None and self._replayed_on != stream:
            stream.wait_stream(self._replayed_on)
        self._replayed_on = stream

    def release(self, recordings: list[Recording]) -> None:
        if recordings:
            torch.cuda.synchronize(self._device)
        for recording in recordings:
            assert isinstance(recording, _Graph)
            recording.graph.reset()
            self._alive.discard(recording)

    def _restore(self) -> None:
        if self._before is not None:
            stream, device, cached = self._before
            self._before = None
            torch.cuda.set_stream(stream)
            torch.cuda.set_device(device)
            torch.set_autocast_cache_enabled(cached)


def _stream_of(device: torch.device) -> torch.cuda.Stream:
    """One a thread: cuBLAS keeps some 32 MiB for every stream it has ever run on."""
    streams = vars(_of_thread).setdefault("streams", {})
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)
    stream: torch.cuda.Stream = streams[device]
    return stream


class _Graph:
    def __init__(self, backend: CudaBackend, graph: torch.cuda.CUDAGraph) -> None:
        self.graph = graph
        self._backend = backend

    def replay(self) -> None:
        self._backend.follow()
        self.graph.replay()
