"""CUDA graphs without CUDA: operators are recorded with their tensors and run again, no Python.

What is captured has a graph's meaning: numbers are frozen, memory has fixed addresses, and reading
a value on the host fails. It is stricter where it can be: between replays, and after the capture
(which runs nothing on a device), all memory of the graph's own holds NaN or nonsense.
"""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from clusca_ext.graphs import cuda

READS_ON_HOST = {
    "aten::_local_scalar_dense",
    "aten::item",
    "aten::equal",
    "aten::is_nonzero",
    "aten::nonzero",
    "aten::_unique2",
    "aten::masked_select",
}


def storage(tensor):
    return tensor.untyped_storage().data_ptr()


class Recorder(TorchDispatchMode):
    """Runs operators and keeps what they were called with, and on what."""

    def __init__(self):
        super().__init__()
        self.calls = []  # operator, args, kwargs, the tensors it made
        self.own = {}  # storage to a tensor of all of it, of what was made
        self.read = {}  # storage to tensor, of what was there before

    @classmethod
    def is_infra_mode(cls):
        return True  # code that was compiled runs compiled, as a real capture would have it

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = op._schema.name
        if name in READS_ON_HOST or (name == "aten::index" and has_mask(args)):
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        known = {storage(each) for each in given}
        for each in given:
            if storage(each) not in self.own:
                self.read.setdefault(storage(each), each)
        out = op(*args, **kwargs)
        made = [
            each
            for each in tree_leaves(out)
            if isinstance(each, Tensor) and storage(each) not in known
        ]
        for each in made:
            self.own.setdefault(storage(each), each)
        if made or op._schema.is_mutable:  # else it returns views
            self.calls.append((op, args, kwargs, made))
        return out


def has_mask(args):
    return any(each is not None and each.dtype == torch.bool for each in args[1])


class Recording:
    def __init__(self, recorder):
        self.recorder = recorder
        self.replays = 0
        self.spoil()

    @torch.no_grad()
    def spoil(self):
        for each in self.recorder.own.values():
            whole = each.as_strided((each.untyped_storage().nbytes() // each.itemsize,), (1,), 0)
            whole.fill_(torch.nan if each.is_floating_point() else 77)

    @torch.no_grad()
    def replay(self):
        self.replays += 1
        self.spoil()
        for op, args, kwargs, made in self.recorder.calls:
            out = op(*args, **kwargs)
            if made:
                new = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
                own = {id(each) for each in made}
                pairs = zip(new, made, strict=True) if len(new) == len(made) else ()
                assert len(new) == len(made) or not own, op
                for theirs, ours in pairs:
                    ours.copy_(theirs)


class Emulation:
    """Stands in for ``CudaBackend``. ``recordings``: all that were captured, in order."""

    def __init__(self):
        self.recordings = []
        self.released = []
        self.busy = False
        self.recorder = None
        self.fails = None  # raised at the next capture's end

    def begin(self):
        self.recorder = Recorder()
        self.recorder.__enter__()

    def end(self):
        if self.fails is not None:
            raise self.fails
        self.recorder.__exit__(None, None, None)
        self.recordings.append(Recording(self.recorder))
        self.recorder = None
        return self.recordings[-1]

    def abandon(self):
        if self.recorder is not None:
            self.recorder.__exit__(None, None, None)
            self.recorder = None

    def is_busy(self):
        return self.busy

    def follow(self):
        pass

    def release(self, recordings):
        self.released += recordings

    @property
    def captures(self):
        return len(self.recordings)

    @property
    def replays(self):
        """Without those that prove a capture."""
        return sum(each.replays - 1 for each in self.recordings)


class Counted(cuda.CudaBackend):
    """The real one, counting as its stand-in does."""

    def __init__(self, device):
        super().__init__(device)
        self.recordings, self.released = [], []

    def end(self):
        recording = super().end()
        recording.replays = 0
        self.recordings.append(recording)
        return recording

    def release(self, recordings):
        super().release(recordings)
        self.released += recordings

    captures = Emulation.captures
    replays = Emulation.replays


def stand_in(device, monkeypatch):
    """What captures on a device in a test: on a CPU an emulation, on a GPU the real one."""
    if device == "cpu":
        backend = Emulation()
    else:
        backend, replay = Counted(torch.device("cuda", 0)), cuda._Graph.replay

        def counting(graph):
            graph.replays += 1
            replay(graph)

        monkeypatch.setattr(cuda._Graph, "replay", counting)
    monkeypatch.setattr(cuda, "backend_of", lambda device: backend)
    return backend
