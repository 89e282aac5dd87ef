"""What a denoising loop is run with: no cache, ours, the paper's in torch.

A method is a context manager around a model that has it; what it yields says, once a run is over,
what the row holds beside its times. Where one does not do for a model it raises
``results.NotMeasured``, and the row says why. Those of others are in ``peer_methods.py``.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from clusca_ext import ClusCaConfig, cache, reset, summary
from clusca_ext.cache import Cache
from loop import Loop
from paper_cache import PaperCache, add_forecast, papers
from results import NotMeasured

Measured = dict[str, object]
Said = Callable[[], Measured]
Method = Callable[[Loop, int], AbstractContextManager[Said]]  # of a loop and its steps


@contextmanager
def begun_by(loop: Loop, begin: Callable[[], object]) -> Iterator[None]:
    """``begin`` is called before every run of the loop."""
    loop.begin = begin
    try:
        yield
    finally:
        loop.begin = None


@contextmanager
def no_cache(loop: Loop, steps: int) -> Iterator[Said]:
    yield dict


def left_out(why: str) -> Method:
    """A row that this model cannot have."""

    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Said]:
        raise NotMeasured(why)
        yield dict

    return method


def clusca(config: ClusCaConfig) -> Method:
    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Said]:
        model, planned = loop.model, set[int]()

        def begin() -> None:
            planned.clear()
            if not loop.is_whole:  # nothing else tells that a run was broken off
                reset(model)

        def look(*_: object) -> None:
            found = Cache.of(model)
            first = found.blocks[0] if found else None
            if first and first.substituted and first.planned is not None:
                planned.add(loop.step)

        def said() -> Measured:
            done = summary(model)
            gib = round(done.cache_bytes / 2**30, 6)
            return {"cache_gib": gib, "storage": done.storage, "planned": len(planned)}

        known = {"timesteps": loop.timesteps(steps), "cfg_rows": loop.described.rows}
        with cache(model, config, **known), begun_by(loop, begin):
            handle = model.register_forward_pre_hook(look)
            try:
                yield said
            finally:
                handle.remove()

    return method


def in_torch(config: ClusCaConfig, add: Callable[..., torch.Tensor] = add_forecast) -> Method:
    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Said]:
        with papers(loop.model, PaperCache(config, steps, add)) as state:

            def begin() -> None:
                state.calls = 0

            with begun_by(loop, begin):
                yield lambda: {"cache_gib": round(state.bytes() / 2**30, 6)}

    return method


def compiled() -> Callable[..., torch.Tensor]:
    """A graph for every number of factors and kind of stream: more than dynamo keeps by itself."""
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(add_forecast, fullgraph=True)
