"""The backend that captures CUDA graphs: in which order it asks torch for what, and on a GPU."""

import gc
from types import SimpleNamespace

import pytest
import torch

from clusca_ext import ClusCaConfig, cache, summary
from clusca_ext.graphs.cuda import CudaBackend
from small_dit import make_dit, options, sample

DEVICE = torch.device("cuda", 1)


class Calls(list):
    """What was asked of torch.cuda, which is not there."""

    broken = False

    def __call__(self, name, result=None):
        def asked(*args, **kwargs):
            self.append(name)
            return result

        return asked


@pytest.fixture
def calls(monkeypatch):
    calls = Calls()

    class Graph:
        def capture_end(self):
            calls.append("capture_end")
            if calls.broken:
                raise RuntimeError("operation failed due to a previous error during capture")

        def replay(self):
            calls.append("replay")

        def reset(self):
            calls.append("reset")

    class Capture:
        def __init__(self, graph, pool, stream, capture_error_mode):
            assert capture_error_mode == "thread_local"
            self.graph = graph
            calls.append(f"capture in {pool} on {stream}")

        def __enter__(self):
            assert not torch.is_autocast_cache_enabled()

        def __exit__(self, *error):
            self.graph.capture_end()

    pools = iter(range(10))
    generator = SimpleNamespace(
        clone_state=lambda: "state", graphsafe_set_state=calls("generator", None)
    )
    fakes = {
        "Stream": lambda device: "side",
        "CUDAGraph": Graph,
        "graph": Capture,
        "graph_pool_handle": lambda: next(pools),
        "current_stream": lambda device: SimpleNamespace(wait_stream=calls("wait")),
        "current_device": lambda: 0,
        "set_stream": calls("set_stream"),
        "set_device": calls("set_device"),
        "synchronize": calls("synchronize"),
        "default_generators": (generator, generator),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", calls("end_pool"), raising=False)
    yield calls
    assert torch.is_autocast_cache_enabled()


def test_graphs_share_a_pool_while_one_lives(calls):
    backend = CudaBackend(DEVICE)
    graphs = []
    for _ in range(2):
        backend.begin()
        graphs.append(backend.end())
    assert calls.count("capture in 0 on side") == 2
    backend.release(graphs[:1])
    backend.begin()
    graphs.append(backend.end())
    assert calls.count("capture in 0 on side") == 3
    backend.release(graphs[1:])
    assert calls.count("reset") == 3
    backend.begin()
    backend.end()
    captured = ["capture in 1 on side", "synchronize", "capture_end", "set_stream", "set_device"]
    assert calls[-5:] == captured


@pytest.mark.parametrize("broken", [True, False], ids=["capture", "python"])
def test_what_fails_leaves_nothing_behind(broken, calls):
    backend = CudaBackend(DEVICE)
    backend.abandon()
    assert calls == []  # nothing was begun
    backend.begin()
    calls.clear()
    calls.broken = broken
    backend.abandon()
    ended = ["capture_end", "set_stream", "set_device", "synchronize", "end_pool", "reset"]
    assert calls == [*ended, "generator"]
    calls.broken = False
    backend.begin()
    backend.end().replay()
    assert calls[-1] == "replay"


def test_a_capture_whose_end_fails(calls):
    backend = CudaBackend(DEVICE)
    backend.begin()
    calls.broken = True
    with pytest.raises(RuntimeError, match="previous error"):
        backend.end()
    backend.abandon()
    assert calls[-1] == "generator" and "set_stream" in calls


def test_replays_on_another_stream_wait(calls):
    backend = CudaBackend(DEVICE)
    backend.begin()
    graph = backend.end()
    graph.replay()
    assert "wait" not in calls
    graph.replay()  # every call of current_stream returns another
    assert calls[-2:] == ["wait", "replay"]


# ---- on a GPU


def test_cuda_is_usable_after_a_capture_that_failed(cuda, monkeypatch):
    """Memory, streams and random numbers are as before, and another graph can be captured."""
    model, forward = make_dit(cuda), type(make_dit()).forward
    with cache(model, ClusCaConfig(cuda_graph=False), **options()):
        expected = sample(model)

    def reading(self, hidden_states, timestep, class_labels):
        assert hidden_states.sum().item() is not None
        return forward(self, hidden_states, timestep, class_labels)

    stream, seeded = torch.cuda.current_stream(), torch.Generator(cuda).manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(type(model), "forward", reading)
        with cache(model, ClusCaConfig(), **options()):
            assert torch.equal(sample(model), expected)
            assert "the capture failed" in summary(model).cached_step
    assert torch.cuda.current_stream() == stream
    torch.manual_seed(0)
    assert torch.equal(torch.randn(8, device=cuda), torch.randn(8, device=cuda, generator=seeded))
    with cache(model, ClusCaConfig(), **options()):
        for _ in range(2):
            assert torch.equal(sample(model), expected)
        assert summary(model).cached_step == "one CUDA graph"


def test_memory_is_given_back_on_a_gpu(cuda):
    model = make_dit(cuda)

    def round_of():
        with cache(model, ClusCaConfig(), **options()):
            sample(model)
            assert summary(model).cached_step == "one CUDA graph"
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated()

    round_of()
    before = round_of()
    assert [round_of() for _ in range(5)] == [before] * 5


def test_replays_on_other_streams_and_in_autocast(cuda):
    model = make_dit(cuda)
    with torch.autocast("cuda", torch.bfloat16):
        with cache(model, ClusCaConfig(cuda_graph=False), **options()):
            expected = sample(model)
        with cache(model, ClusCaConfig(), **options()):
            for _ in range(3):
                with torch.cuda.stream(torch.cuda.Stream()):
                    got = sample(model)
                torch.cuda.synchronize()
                assert torch.equal(got, expected)
            assert summary(model).cached_step == "one CUDA graph"
