"""The tensors of a case: seeded, and the same ones for all its implementations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from clusca_ext.measuring.shapes import Case

GAMMA, DISTANCE, SPACING = 0.1, 2.0, 5.0
_held: dict[str, Any] = {}


def shared(make: Callable[[Case], Any]) -> Callable[[Case], Any]:
    """Keep what ``make`` returned until another case, or another op, is asked for."""

    def held(case: Case) -> Any:
        if _held.get("key") != (make, case):
            _held.clear()
            torch.manual_seed(0)
            _held.update(key=(make, case), value=make(case))
        return _held["value"]

    return held


def random_tokens(case: Case, *leading: int, scale: float = 1.0) -> Tensor:  # [*leading, B, N, D]
    shape = (*leading, case.model.B, case.model.N, case.model.D)
    return torch.randn(shape, dtype=case.dtype, device=case.device).mul_(scale)


def random_rows(case: Case, count: int, scale: float = 1.0) -> Tensor:  # [B, count, D]
    shape = (case.model.B, count, case.model.D)
    return torch.randn(shape, dtype=case.dtype, device=case.device).mul_(scale)


def modulation(case: Case, scale: float = 0.01) -> Tensor:  # [B, D]
    """A gate, shift or scale; so small that a stream stays finite over all rounds."""
    return random_rows(case, 1, scale).squeeze(1)


def clusters(case: Case) -> tuple[Tensor, Tensor]:
    """Labels [B, N] and representatives [B, K], int32; no cluster is empty."""
    B, N, K = case.model.B, case.model.N, case.K
    ids = torch.randint(K, (B, N), dtype=torch.int32)
    representatives = torch.stack([torch.randperm(N)[:K] for _ in range(B)])
    ids.scatter_(1, representatives, torch.arange(K, dtype=torch.int32).expand(B, K))
    return ids.to(case.device), representatives.int().to(case.device)


def surface_tokens(case: Case) -> Tensor:
    """Tokens on a curved surface with noise: like an image's, without gaps between clusters."""
    B, N, D = case.model.B, case.model.N, case.model.D
    place = torch.rand(B, N, 2, device=case.device) * 6
    waves = torch.sin(
        place @ torch.randn(2, D, device=case.device) + torch.rand(D, device=case.device) * 6
    )
    return (waves + 0.1 * torch.randn(B, N, D, device=case.device)).to(case.dtype)


def random_start(tokens: Tensor, K: int) -> Tensor:  # [B, K, D] float32
    chosen = torch.stack([torch.randperm(tokens.shape[1])[:K] for _ in tokens])
    return tokens[torch.arange(len(tokens)).unsqueeze(1), chosen].float()


def crowded_start(tokens: Tensor, K: int) -> Tensor:  # [B, K, D] float32
    """The K tokens nearest to one of them: centroids that take many iterations to spread out."""
    far = torch.cdist(tokens.float(), tokens[:, :1].float()).squeeze(-1)
    chosen = far.argsort(dim=-1)[:, :K]
    return tokens[torch.arange(len(tokens), device=tokens.device).unsqueeze(1), chosen].float()


def nbytes(*tensors: Tensor) -> int:
    return sum(tensor.nbytes for tensor in tensors)
