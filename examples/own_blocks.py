"""Blocks of your own, as DiT's, with U-ViT's long skips: python examples/own_blocks.py --help

The weights are random: what this shows is how such a model is described, and sampled from.
"""

import torch
from common import base_parser, config_of
from torch import Tensor, nn

from clusca_ext import BlockAdapter, enable_cache, summary


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """As in facebookresearch/DiT."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))

    def modulation(self, c: Tensor) -> tuple[Tensor, ...]:
        """Shift, scale and gate of attention, then of the MLP. Each [B, 1, D]"""
        parts: tuple[Tensor, ...] = self.adaLN_modulation(c).unsqueeze(1).chunk(6, dim=-1)
        return parts

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(c)
        x = x + gate_a * self.attn(self.norm1(x) * (1 + scale_a) + shift_a)
        return x + gate_m * self.mlp(self.norm2(x) * (1 + scale_m) + shift_m)


class Model(nn.Module):
    """Blocks before and after a middle one, with U-ViT's skips between them."""

    def __init__(self, dim: int = 128, channels: int = 4, pairs: int = 2) -> None:
        super().__init__()
        self.pairs = pairs
        self.embed, self.time = nn.Linear(channels, dim), nn.Linear(1, dim)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(2 * pairs + 1))
        self.skips = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(pairs))
        self.out = nn.Linear(dim, channels)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        x, c = self.embed(x), self.time(timestep[:, None])
        kept: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            if index > self.pairs:
                x = self.skips[index - self.pairs - 1](torch.cat([x, kept.pop()], dim=-1))
            x = block(x, c)
            if index < self.pairs:
                kept.append(x)
        out: Tensor = self.out(x)
        return out


def adapter(model: Model) -> BlockAdapter:
    return BlockAdapter(
        blocks="blocks",
        attention=("attn",),
        mlp=("mlp",),
        norms={"attn": "norm1", "mlp": "norm2"},
        modulation=lambda block, x, c: (block.modulation(c)[:3], block.modulation(c)[3:]),
        timestep="timestep",
        # What a block of the first half returns is the next one's input, and read again later.
        keeps_stream=tuple(range(1, model.pairs + 1)),
    )


@torch.inference_mode()
def sample(model: Model, timesteps: Tensor, seed: int) -> Tensor:
    """Euler steps from noise, for a model that returns velocities. [B, N, C]"""
    x = torch.randn(2, 256, 4, generator=torch.Generator().manual_seed(seed)).to(timesteps.device)
    for now, after in zip(timesteps, timesteps[1:], strict=False):
        x = x + (after - now) * model(x, now.expand(len(x)))
    return x


if __name__ == "__main__":
    options = base_parser(steps=50).parse_args()
    torch.manual_seed(0)
    model = Model().eval().to(options.device)
    timesteps = torch.linspace(1, 0, options.steps + 1, device=options.device)
    expected = sample(model, timesteps, options.seed)
    if not options.full:
        config = config_of(options, model)
        enable_cache(model, config, adapter=adapter(model), timesteps=timesteps[:-1])
        got = sample(model, timesteps, options.seed)
        error = (got - expected).norm() / expected.norm()
        print(f"relative error {error:.1e} to the model's own sample")
        print(summary(model))
