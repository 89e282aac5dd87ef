"""Adapters: a user's own blocks, and models that are not supported."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from clusca_ext import (
    BlockAdapter,
    ClusCaConfig,
    ClusterCorrector,
    IntervalSchedule,
    NoCorrection,
    ReuseForecaster,
    cache,
    enable_cache,
    summary,
    supported,
)
from clusca_ext.adapters import describe
from small_dit import make_dit, sample


class Block(nn.Module):
    """As in facebookresearch/DiT."""

    def __init__(self, dim, norm):
        super().__init__()
        self.norm1, self.norm2 = norm(dim), norm(dim)
        self.attn = nn.Sequential(nn.Linear(dim, dim), nn.Tanh())
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.ada = nn.Linear(dim, 6 * dim)

    def forward(self, x, c):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.ada(c).unsqueeze(1).chunk(6, -1)
        x = x + gate_a * self.attn(self.norm1(x) * (1 + scale_a) + shift_a)
        return x + gate_m * self.mlp(self.norm2(x) * (1 + scale_m) + shift_m)


class PlainBlock(nn.Module):
    """No modulation, no norm, two MLPs before and after the attention."""

    def __init__(self, dim):
        super().__init__()
        self.inner = nn.Module()
        self.inner.first, self.inner.last = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.mix = nn.Linear(dim, dim)

    def forward(self, x):
        x = x + 0.1 * self.inner.first(x)
        x = x + self.mix(x)
        return x + 0.1 * self.inner.last(x)


class Model(nn.Module):
    def __init__(self, make_block, dim=24, layers=3):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Module()
        self.net.blocks = nn.ModuleList(make_block(dim) for _ in range(layers))
        self.embed = nn.Linear(1, dim)

    def forward(self, x, t):
        for block in self.net.blocks:
            x = block(x, self.embed(t[:, None].float() / 1000))
        return x


def six(block, x, c):
    parts = block.ada(c).chunk(6, -1)
    return parts[:3], parts[3:]


DIT_LIKE = BlockAdapter(
    blocks="net.blocks", norms={"attn": "norm1", "mlp": "norm2"}, modulation=six, timestep=1
)


def run(model, steps=(900, 700, 500, 300)):
    x = torch.randn(2, 40, 24, generator=torch.Generator().manual_seed(0))
    outputs = []
    with torch.no_grad():
        for t in steps:
            outputs.append(model(x, torch.tensor([t, t])))
    return outputs


@pytest.mark.parametrize(
    "norm",
    [
        lambda dim: nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6),
        nn.LayerNorm,
        nn.RMSNorm,
        lambda dim: nn.RMSNorm(dim, eps=1e-3, elementwise_affine=False),
    ],
    ids=["layer", "layer-affine", "rms-affine", "rms"],
)
def test_blocks_of_ones_own(norm):
    """K = N and gamma 1: the cached step's MLP is the block's own, on reused attention."""
    model = Model(lambda dim: Block(dim, norm))
    corrector = ClusterCorrector(num_clusters=40, gamma=1.0, max_iters=0)
    config = ClusCaConfig(
        schedule=IntervalSchedule(interval=99, warmup=1),
        forecaster=ReuseForecaster(),
        corrector=corrector,
    )
    with cache(model, config, adapter=DIT_LIKE):
        got = run(model)
        assert (summary(model).full, summary(model).cached) == (1, 3)
    kept = {}
    for block in model.net.blocks:
        block.attn.register_forward_hook(lambda m, a, out: kept.setdefault(m, out))
    for a, b in zip(got, run(model), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_modules_in_an_order_of_their_own_and_no_norm():
    adapter = BlockAdapter(
        blocks="net.blocks",
        attention=("mix",),
        mlp=("inner.first", "inner.last"),
        order=("inner.first", "mix", "inner.last"),
        modulation=lambda block, x: [
            (None, None, torch.full((2, 24), gate)) for gate in (0.1, 1.0, 0.1)
        ],
        timestep="t",
    )

    class Plain(Model):
        def forward(self, x, t):
            for block in self.net.blocks:
                x = block(x)
            return x

    model = Plain(PlainBlock)
    untouched = run_by_name(model)
    config = ClusCaConfig(schedule=IntervalSchedule(interval=2, warmup=1), corrector=NoCorrection())
    with cache(model, config, adapter=adapter):
        got = run_by_name(model)
        assert summary(model).cached == 2
    # The input never changes, so reusing what was computed changes nothing.
    for a, b in zip(got, untouched, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def run_by_name(model):
    x = torch.randn(2, 40, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return [model(x, t=torch.tensor([t, t])) for t in (900, 700, 500, 300)]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"blocks": "layers"}, "blocks: Model has no 'layers'"),
        ({"mlp": ("ff",), "norms": None}, "module 'ff' of a block: Block has no 'ff'"),
        ({"norms": {"mlp": "norm3"}}, "norm of 'mlp': Block has no 'norm3'"),
        ({"norms": {"mlp": "ada"}}, "the norm of module 'mlp' must be a LayerNorm, .* got Linear"),
        ({"order": ("mlp",)}, "order must hold the names of attention and mlp, got"),
        ({"norms": {"atn": "norm1"}}, r"norms must be of \['attn', 'mlp'\], got one of 'atn'"),
        ({"attention": "attn"}, "attention must be a tuple of names, got 'attn'"),
        ({"attention": ("mlp",), "norms": None}, "attention and mlp must name modules, each once"),
        ({"attention": (), "mlp": (), "norms": None}, r"must name modules, each once, got \[\]"),
        ({"attention": ("forward",), "norms": None}, "must be a torch.nn.Module, got <bound"),
        ({"blocks": "embed"}, "blocks must name a list of blocks, got Linear"),
        ({"keeps_stream": (0, 3)}, "keeps_stream must name some of 3 blocks, got 3"),
    ],
)
def test_an_adapter_that_does_not_fit(change, message):
    model = Model(lambda dim: Block(dim, nn.LayerNorm))
    with pytest.raises(ValueError, match=message):
        enable_cache(model, adapter=BlockAdapter(**{**vars(DIT_LIKE), **change}))


def test_an_adapter_of_another_type():
    with pytest.raises(ValueError, match="adapter must be a BlockAdapter, got str"):
        enable_cache(Model(lambda dim: Block(dim, nn.LayerNorm)), adapter="net.blocks")


def test_a_modulation_of_another_length():
    model = Model(lambda dim: Block(dim, nn.LayerNorm))
    adapter = BlockAdapter(**{**vars(DIT_LIKE), "modulation": lambda block, x, c: [(None,) * 3]})
    with (
        cache(model, ClusCaConfig(), adapter=adapter),
        pytest.raises(ValueError, match=r"for each of \['attn', 'mlp'\], got 1"),
    ):
        run(model)


def test_a_model_whose_runs_cannot_be_told():
    model = Model(lambda dim: Block(dim, nn.LayerNorm))
    adapter = BlockAdapter(**{**vars(DIT_LIKE), "timestep": None})
    with pytest.raises(ValueError, match="cannot tell where a run begins"):
        enable_cache(model, adapter=adapter)
    enable_cache(model, adapter=adapter, timesteps=[900, 700, 500, 300])
    run(model)
    assert summary(model).steps == 4


def test_an_unsupported_model_is_an_error_that_lists_what_is():
    with pytest.raises(ValueError, match="Linear is not supported: .*DiTTransformer2DModel.*Block"):
        enable_cache(nn.Linear(3, 3))
    assert {"DiTTransformer2DModel", "FluxTransformer2DModel"} < set(supported())
    unet_pipeline = SimpleNamespace(unet=nn.Linear(3, 3), scheduler=None)
    for model, name in [("facebook/DiT-XL-2-256", "str"), (unet_pipeline, "SimpleNamespace")]:
        with pytest.raises(ValueError, match="Module or a pipeline with a transformer") as said:
            enable_cache(model)
        assert f"got {name}: clusca_ext knows " in str(said.value)
        assert all(known in str(said.value) for known in (*supported(), "BlockAdapter"))


def test_a_chunked_feed_forward_is_refused():
    model = make_dit()
    model.transformer_blocks[1].set_chunk_feed_forward(8)
    with pytest.raises(ValueError, match="a chunked feed-forward cannot be cached"):
        enable_cache(model)


def test_the_description_of_a_dit():
    model = make_dit()
    described = describe(model)
    assert len(described.blocks) == 3
    assert [m.name for m in described.blocks[0].modules] == ["attn", "mlp"]
    assert [m.represents for m in described.blocks[0].modules] == [False, True]
    rows = torch.zeros(4, 1, 16, 16)
    assert described.stream_shape((rows,), {}) == (4, 64, 32)
    assert sample(model).isfinite().all()
