"""Threads with a cached pipeline each: nothing is shared between them that a call changes."""

import threading

import pytest
import torch
from diffusers import FluxImg2ImgPipeline, FluxPipeline

from clusca_ext import ClusCaConfig, ClusterCorrector, cache, disable_cache, enable_cache
from flux_pipelines import draw, make_pipeline
from small_dit import make_dit
from test_branches import draw as draw_video
from test_branches import wan_pipeline
from test_pipeline import draw as draw_classes
from test_pipeline import make_pipeline as make_classes

CONFIG = ClusCaConfig(corrector=ClusterCorrector(num_clusters=8))
ROUNDS = 3


def flux(cls, seed):
    pipe = make_pipeline(cls)
    return pipe, lambda steps: draw(pipe, steps, generator=torch.Generator().manual_seed(seed))


def video():
    pipe = wan_pipeline()
    return pipe, lambda steps: draw_video(pipe, steps=steps)


def classes():
    pipe = make_classes()
    pipe.transformer = make_dit(num_embeds_ada_norm=1000)
    return pipe, lambda steps: draw_classes(pipe, steps=steps)


PAIRS = {
    "same": (lambda: flux(FluxPipeline, 0), lambda: flux(FluxPipeline, 1)),
    "two-families": (video, classes),
    "two-pipelines": (lambda: flux(FluxPipeline, 0), lambda: flux(FluxImg2ImgPipeline, 1)),
}


def in_threads(functions):
    """What they return, run at once; what one raises is raised."""
    results = [None] * len(functions)
    begin = threading.Barrier(len(functions))

    def work(place, function):
        begin.wait()
        try:
            results[place] = function()
        except BaseException as error:
            results[place] = error

    threads = [threading.Thread(target=work, args=each) for each in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@pytest.mark.parametrize("pair", PAIRS)
def test_threads_with_a_pipeline_each(pair):
    made = [make() for make in PAIRS[pair]]
    steps = (8, 11)
    expected = []
    for (pipe, call), count in zip(made, steps, strict=True):
        plain = call(count)
        with cache(pipe, CONFIG):
            expected.append(call(count))
        assert not torch.equal(expected[-1], plain)

    def rounds(place):
        pipe, call = made[place]
        got = []
        for _ in range(ROUNDS):  # enabling and disabling, too
            enable_cache(pipe, CONFIG)
            got += [call(steps[place]) for _ in range(2)]
            disable_cache(pipe)
        return got

    for got, one in zip(
        in_threads([lambda i=i: rounds(i) for i in range(2)]), expected, strict=True
    ):
        assert len(got) == 2 * ROUNDS
        for result in got:
            assert torch.equal(result, one)
