"""The random numbers of the package: a counter-based hash, in plain PyTorch.

A key depends on (sample seed, counter, layer, token) and on nothing else: not on torch's
generators, the batch or the device. The operators compute the same (``csrc/kernels/random.h``).
"""

import torch
from torch import Tensor

_GOLDEN = -0x61C8864680B583EB  # 0x9e3779b97f4a7c15 as int64


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64, whose arithmetic wraps and whose shifts are arithmetic."""

    def shifted(z: Tensor, bits: int) -> Tensor:
        return (z >> bits) & ((1 << (64 - bits)) - 1)

    z = (z ^ shifted(z, 30)) * -0x40A7B892E31B1A47
    z = (z ^ shifted(z, 27)) * -0x6B2FB644ECCEEE15
    return z ^ shifted(z, 31)


def random_keys(
    seed: Tensor, layer: int, num_tokens: int
) -> Tensor:  # [B, N] or [1, N], 0 .. 2^32-1
    """The keys whose maximum ``ops.select_representatives`` takes.

    Args:
        seed: (sample seed, counter), for all rows or for each. int64 [2] or [B, 2]
        layer: A third number to hash.
        num_tokens: Number of tokens N.
    """
    seed = seed.reshape(-1, 2)
    stream = _mix(seed[:, 0] + _GOLDEN)
    stream = _mix(stream + seed[:, 1] + _GOLDEN)
    stream = _mix(stream + layer + _GOLDEN)
    token = torch.arange(num_tokens, device=seed.device)
    return (_mix(stream.unsqueeze(1) + token * _GOLDEN) >> 32) & 0xFFFFFFFF
