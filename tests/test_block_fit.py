"""Blocks that do not do what their description says: noticed, or described better."""

import pytest
import torch
from torch import nn

from clusca_ext import (
    BlockAdapter,
    ClusCaConfig,
    IntervalSchedule,
    NoCorrection,
    ReuseForecaster,
    cache,
    enable_cache,
    summary,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.norms import check_norm
from clusca_ext.enable import cache_of
from test_adapters import DIT_LIKE, Block, Model, run

REUSE = ClusCaConfig(
    schedule=IntervalSchedule(interval=99, warmup=1),
    forecaster=ReuseForecaster(),
    corrector=NoCorrection(),
)


def make_model(layers=3):
    return Model(lambda dim: Block(dim, nn.LayerNorm), layers=layers)


class LongSkips(Model):
    """As U-ViT: what blocks 0 and 1 return is added in front of blocks 4 and 3."""

    def forward(self, x, t):
        skips = []
        for index, block in enumerate(self.net.blocks):
            x = x + 0.5 * skips.pop() if index > 2 else x
            x = block(x, self.embed(t[:, None].float() / 1000))
            if index < 2:
                skips.append(x)
        return x


@pytest.mark.parametrize("keeps", [False, True, (1, 2)], ids=["no", "all", "named"])
def test_long_skips(keeps):
    """Against the plain model, whose modules return what they did at the first step."""
    model = LongSkips(lambda dim: Block(dim, nn.LayerNorm), layers=5)
    with cache(model, REUSE, adapter=BlockAdapter(**{**vars(DIT_LIKE), "keeps_stream": keeps})):
        got = run(model)
        assert summary(model).cached == 3
    kept = {}
    for block in model.net.blocks:
        for module in (block.attn, block.mlp):
            module.register_forward_hook(lambda m, args, out: kept.setdefault(m, out))
    for a, b in zip(got[1:], run(model)[1:], strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-5) == bool(keeps)


def test_a_module_of_two_blocks_is_refused():
    model = make_model()
    model.net.blocks[2].mlp = model.net.blocks[0].mlp
    with pytest.raises(
        ValueError, match="module 'mlp' of block 2 must be its own, got module 'mlp' of block 0"
    ):
        enable_cache(model, adapter=DIT_LIKE)


CALLED = "module '{}' of block 1 must be called once in a step that computes it, got {} calls"


def test_a_module_that_was_replaced():
    """Within a run it is an error; between runs the new one is cached."""
    model = make_model()
    config = ClusCaConfig(schedule=IntervalSchedule(interval=4, warmup=1))
    enable_cache(model, config, adapter=DIT_LIKE)
    model.net.blocks[0].mlp = nn.Linear(24, 24)
    run(model, (900, 800, 700, 600))
    assert summary(model).cached == 3
    model.net.blocks[1].mlp = nn.Linear(24, 24)
    with pytest.raises(ValueError, match=CALLED.format("mlp", 0)):
        run(model, (500,))
    run(model, (900, 800, 700, 600))
    assert summary(model).cached == 3


@pytest.mark.parametrize("calls", [0, 2])
def test_a_module_that_is_not_called_once(calls):
    class Odd(Block):
        def forward(self, x, c):
            twice = self.attn(x) if calls == 2 else 0
            return x + twice + self.attn.forward(x) + self.mlp(x)

    model = make_model()
    model.net.blocks[1] = Odd(24, nn.LayerNorm)
    if calls == 2:
        Odd.forward = lambda self, x, c: x + self.attn(x) + self.attn(x) + self.mlp(x)
    enable_cache(model, adapter=DIT_LIKE)
    for _ in range(2):  # and again: nothing of it is used
        with pytest.raises(ValueError, match=CALLED.format("attn", calls)):
            run(model)


@pytest.mark.parametrize("which", [1, "t"])
def test_inputs_are_found_by_position_and_by_name(which):
    find = named_input(make_model(), which)
    assert find((1, 2), {}) == find((1,), {"t": 2}) == find((), {"t": 2, "x": 1}) == 2
    assert find((1,), {}) is None
    assert named_input(make_model(), "extra")((1, 2, 3), {"extra": 4}) == 4


def test_a_wrapped_forward(model):
    """As offloading wraps it: positions still have their names."""
    original = model.forward
    model.forward = lambda *args, **kwargs: original(*args, **kwargs)
    find = named_input(model, "timestep")
    assert find((1, 2, 3), {}) == find((1,), {"timestep": 2}) == 2


@pytest.mark.parametrize("ends_in_norm", [False, True])
def test_autocast_without_a_known_shape(ends_in_norm):
    """Factors are allocated by a module's first output, which may be of higher precision."""
    model = make_model()
    if ends_in_norm:
        for block in model.net.blocks:
            block.mlp.append(nn.LayerNorm(24))
    with torch.autocast("cpu", torch.bfloat16):
        untouched = run(model)
        config = ClusCaConfig(schedule=IntervalSchedule(interval=3, warmup=1))
        with cache(model, config, adapter=DIT_LIKE):
            got = run(model)
            assert summary(model).cached == 2
            factors = cache_of(model).modules[0, "mlp"].feature.factors
    assert factors.dtype == torch.bfloat16
    assert torch.equal(got[0], untouched[0]) and torch.equal(got[3], untouched[3])
    assert all(out.isfinite().all() for out in got)


class LlamaRMSNorm(nn.Module):
    """As in transformers."""

    def __init__(self, dim, eps=1e-3, offset=0.0):
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.rand(dim)), eps
        self.offset = offset

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.variance_epsilon)
        return (self.offset + self.weight) * y.to(x.dtype)


class GemmaRMSNorm(LlamaRMSNorm):
    def __init__(self, dim):
        super().__init__(dim, offset=1.0)


class RMSNormOfAnotherEps(LlamaRMSNorm):
    def __init__(self, dim):
        super().__init__(dim)
        self.eps = 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "norm",
    [
        nn.LayerNorm,
        nn.RMSNorm,
        LlamaRMSNorm,
        lambda dim: nn.RMSNorm(dim, eps=1e-2),
        lambda dim: nn.LayerNorm(dim, elementwise_affine=False),
    ],
    ids=["layer", "rms", "llama", "rms-eps", "layer-plain"],
)
def test_norms_that_fit(norm, dtype):
    check_norm(norm(48).to(dtype), "x")


@pytest.mark.parametrize(
    "norm",
    [GemmaRMSNorm, RMSNormOfAnotherEps, lambda dim: nn.LayerNorm((2, dim))],
    ids=["gemma", "eps", "two-dimensions"],
)
def test_norms_that_do_not(norm):
    with pytest.raises(ValueError, match="the norm of x must return normalised tokens"):
        check_norm(norm(48), "x")


def test_a_norm_is_checked_without_its_hooks():
    norm, seen = nn.LayerNorm(8), []
    norm.register_forward_hook(lambda *args: seen.append(args))
    state = torch.get_rng_state()
    check_norm(norm, "x")
    assert not seen and torch.equal(torch.get_rng_state(), state)
