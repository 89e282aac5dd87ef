"""What only a GPU shows of every operator: graphs, streams, threads, repeatability."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from clusca_ext.ops._dispatch import OPS
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
def test_a_hundred_runs_on_streams_are_bitwise_equal(name, cuda):
    """Of several streams at once: each sleeps until there is work on all of them."""
    args = sample(name, cuda)
    expected = tensors_after(wrapper(name), args)
    streams = [torch.cuda.Stream() for _ in range(5)]
    for stream in streams:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            torch.cuda._sleep(20_000_000)
    results = []
    for run in range(100):
        with torch.cuda.stream(streams[run % len(streams)]):
            results.append(tensors_after(wrapper(name), args))
    torch.cuda.synchronize()
    for result in results:
        assert_equal(result, expected)


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


@by_op
def test_threads_and_streams_do_not_disturb_each_other(name, cuda):
    args = sample(name, cuda)
    expected = tensors_after(wrapper(name), args)
    torch.cuda.synchronize()

    def work():
        stream = torch.cuda.Stream()
        for _ in range(20):
            with torch.cuda.stream(stream):
                got = tensors_after(wrapper(name), args)
            stream.synchronize()
            assert_equal(got, expected)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()


def test_operators_share_streams_and_threads(cuda):
    """All operators at once, each thread on a stream of its own."""
    samples = {name: sample(name, cuda) for name in OPS}
    expected = {name: tensors_after(wrapper(name), args) for name, args in samples.items()}
    torch.cuda.synchronize()

    def work(first):
        names = [*OPS[first:], *OPS[:first]]
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            got = {name: tensors_after(wrapper(name), samples[name]) for name in names}
        stream.synchronize()
        for name in names:
            assert_equal(got[name], expected[name])

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, first % len(OPS)) for first in range(40)]:
            done.result()


@by_op
def test_ten_thousand_calls_take_no_more_memory(name, cuda):
    args = sample(name, cuda)
    for _ in range(100):
        wrapper(name)(*args)
    torch.cuda.synchronize()

    def memory():
        return torch.cuda.memory_allocated(), torch.cuda.memory_reserved()

    before = memory()
    for _ in range(10_000):
        wrapper(name)(*args)
    torch.cuda.synchronize()
    assert memory() == before


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second CUDA device")
@by_op
def test_a_second_device(name):
    args = sample(name, "cuda:1")
    on_first = on_tensors(lambda tensor: tensor.to("cuda:0"), args)
    got = tensors_after(wrapper(name), args)
    assert all(tensor.device == torch.device("cuda:1") for tensor in got)
    expected = tensors_after(wrapper(name), on_first)
    assert_equal([tensor.to("cuda:0") for tensor in got], expected)
