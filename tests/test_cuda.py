"""What only a GPU shows of every operator: graphs, streams, threads, repeatability."""

import threading

import pytest
import torch

from clusca_ext import ops
from op_samples import (
    assert_equal,
    by_op,
    on_tensors,
    sample,
    tensors_after,
    tensors_in,
    wrapper,
)


@by_op
def test_a_graph_replays_what_was_captured(name, cuda):
    """No host sync, no allocation outside the pool: capture would refuse both."""
    args = sample(name, cuda)
    expected = tensors_after(wrapper(name), args)
    static = on_tensors(torch.clone, args)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = wrapper(name)(*static)
    for _ in range(3):
        for place, tensor in zip(tensors_in(static), tensors_in(args), strict=True):
            place.copy_(tensor)
        graph.replay()
        torch.cuda.synchronize()
        assert_equal(tensors_in((out, static)), expected)


@by_op
def test_a_hundred_runs_are_bitwise_equal(name, cuda):
    args = sample(name, cuda)
    expected = tensors_after(wrapper(name), args)
    for _ in range(100):
        assert_equal(tensors_after(wrapper(name), args), expected)


@by_op
def test_the_callers_stream_is_used(name, cuda):
    """Inputs that a side stream is still making are waited for on that stream."""
    args = sample(name, cuda)
    expected = tensors_after(wrapper(name), args)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)
        late = on_tensors(torch.clone, args)
        got = tensors_after(wrapper(name), late)
    stream.synchronize()
    assert_equal(got, expected)


def test_threads_and_streams_do_not_disturb_each_other(cuda):
    args = sample("kmeans_fit", cuda)
    expected = tensors_after(ops.kmeans_fit, args)
    failures = []

    def work():
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.default_stream())
        with torch.cuda.stream(stream):
            for _ in range(20):
                got = tensors_after(ops.kmeans_fit, args)
                stream.synchronize()
                if not all(torch.equal(a, b) for a, b in zip(got, expected, strict=True)):
                    failures.append(threading.get_ident())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@by_op
def test_ten_thousand_calls_take_no_more_memory(name, cuda):
    args = sample(name, cuda)
    for _ in range(100):
        wrapper(name)(*args)
    torch.cuda.synchronize()
    before = torch.cuda.memory_reserved()
    for _ in range(10_000):
        wrapper(name)(*args)
    torch.cuda.synchronize()
    assert torch.cuda.memory_reserved() == before


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second CUDA device")
@by_op
def test_a_second_device(name):
    args = sample(name, "cuda:1")
    on_first = on_tensors(lambda tensor: tensor.to("cuda:0"), args)
    got = tensors_after(wrapper(name), args)
    assert all(tensor.device == torch.device("cuda:1") for tensor in got)
    expected = tensors_after(wrapper(name), on_first)
    assert_equal([tensor.to("cuda:0") for tensor in got], expected)
