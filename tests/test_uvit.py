"""Blocks as U-ViT's: three lists of them, and a projection of two streams where one begins."""

from contextlib import nullcontext

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
)
from test_adapters import run

D, DEPTH = 24, 2


class Block(nn.Module):
    """As in baofff/U-ViT: no modulation, time is a token."""

    def __init__(self, skips=False):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.attn = nn.Sequential(nn.Linear(D, D), nn.Tanh())
        self.mlp = nn.Sequential(nn.Linear(D, 2 * D), nn.GELU(), nn.Linear(2 * D, D))
        self.skip_linear = nn.Linear(2 * D, D) if skips else None

    def forward(self, x, skip=None):
        if self.skip_linear is not None:
            x = self.skip_linear(torch.cat([x, skip], dim=-1))
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class UViT(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.time = nn.Linear(1, D)
        self.in_blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.mid_block = Block()
        self.out_blocks = nn.ModuleList(Block(skips=True) for _ in range(DEPTH))

    def blocks(self):
        return [*self.in_blocks, self.mid_block, *self.out_blocks]

    def forward(self, x, timesteps):
        x, skips = torch.cat([self.time(timesteps[:, None] / 1000.0)[:, None], x], dim=1), []
        for block in self.in_blocks:
            x = block(x)
            skips.append(x)
        x = self.mid_block(x)
        for block in self.out_blocks:
            x = block(x, skips.pop())
        return x


ADAPTER = BlockAdapter(
    blocks=("in_blocks", "mid_block", "out_blocks"),
    norms={"attn": "norm1", "mlp": "norm2"},
    modulation=lambda block, x, skip=None: [(None, None, None)] * 2,
    enter=lambda block, x, skip=None: (
        x if skip is None else block.skip_linear(torch.cat([x, skip], dim=-1))
    ),
    keeps_stream=True,
    timestep="timesteps",
)


def config(corrector):
    return ClusCaConfig(
        schedule=IntervalSchedule(interval=99, warmup=1),
        forecaster=ReuseForecaster(),
        corrector=corrector,
    )


@pytest.mark.parametrize("mlps", [False, True], ids=["reuse", "every-token-its-own-cluster"])
def test_against_the_model_whose_modules_return_what_they_did(mlps):
    """With every token a representative and gamma 1, MLPs are computed as they are."""
    every = ClusterCorrector(num_clusters=999, gamma=1.0, max_iters=0, share_cfg=False)
    model = UViT()
    warned = pytest.warns(UserWarning, match="using 41 clusters") if mlps else nullcontext()
    with warned, cache(model, config(every if mlps else NoCorrection()), adapter=ADAPTER):
        got = run(model)
        assert (summary(model).full, summary(model).cached) == (1, 3)
    kept = {}
    for block in model.blocks():
        for module in (block.attn,) if mlps else (block.attn, block.mlp):
            module.register_forward_hook(lambda m, args, out: kept.setdefault(m, out))
    expected = run(model)
    assert torch.equal(got[0], expected[0])
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("blocks", [(), ("in_blocks", "time.weight")], ids=["none", "a-tensor"])
def test_what_is_no_block_is_refused(blocks):
    adapter = BlockAdapter(**{**vars(ADAPTER), "blocks": blocks})
    with pytest.raises(ValueError, match="blocks must name lists of blocks, or blocks, got"):
        enable_cache(UViT(), adapter=adapter)
