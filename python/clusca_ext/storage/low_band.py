"""The low frequencies of a token grid.

A frequency of the grid is one cosine of the DCT-II along each side; its radius is the Euclidean
norm of ``k_i / n_i`` over sides of ``n_i`` tokens. Those are low whose radius is at most
``low_band`` times the largest, so that on a square grid they are FreqCa's (arXiv 2510.08669), and
on others a frequency counts as low by its tokens a wave, whatever the side.

With the rows ``C_i`` [k_i, n_i] of the orthonormal DCT-II that hold any low frequency, and M, 1
where one is low, ``low(x) = C^T (M * (C x))``, side by side: small products in float32.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from clusca_ext.storage.constants import moved

PIECE_BYTES = 64 * 2**20  # of channels that are transformed at once


class LowBand:
    """A projection onto low frequencies of the grid in a stream, whose other tokens have none.

    Args:
        low_band: Share of the largest radius up to which a frequency is low.
        grid: Sides of the token grid, the slowest first; empty: a rank has parts of its rows, and
            takes its tokens for a line.
        device: Where the tokens are.
    """

    def __init__(self, low_band: float, grid: tuple[int, ...], device: torch.device) -> None:
        self._low_band, self._grid, self._device = low_band, grid, device
        self._begins: dict[int, int] = {}  # the grid's first token, by the stream's tokens N
        self._made: dict[tuple[int, ...], tuple[list[Tensor], Tensor]] = {}  # by grid

    def place(self, N: int, front: int = 0, behind: int = 0) -> None:
        """Say where the grid lies in streams of N tokens; where nothing is said, it is all of them.

        Args:
            N: Tokens.
            front: Of them, those in front of the grid.
            behind: Those behind it.

        Raises:
            ValueError: With so many around it the grid does not fill the stream.
        """
        grid = self._grid or (N,)
        if front + math.prod(grid) + behind != N:
            raise ValueError(
                "FrequencyForecaster needs streams that are one grid of tokens, which is "
                f"{list(grid)} by the model's inputs, with {front} tokens in front of it and "
                f"{behind} behind, got a stream of {N} tokens"
            )
        self._begins[N] = front

    @torch.no_grad()
    def share_(self, old: Tensor, new: Tensor) -> None:
        """Give tokens the low frequencies of others, in place: both [B, N, D]."""
        tokens = self._tokens(old.shape[1])
        for channels in self._pieces(old):
            piece = old[:, tokens, channels]
            piece -= self.low(piece.float() - new[:, tokens, channels].float())

    @torch.no_grad()
    def remove_(self, tokens: Tensor) -> None:
        """Take low frequencies out of tokens [B, N, D], in place."""
        grid = self._tokens(tokens.shape[1])
        for channels in self._pieces(tokens):
            piece = tokens[:, grid, channels]
            piece -= self.low(piece.float())

    def low(self, tokens: Tensor) -> Tensor:
        """The low frequencies of the grid's tokens alone: float32 [B, N, D]"""
        B, N, D = tokens.shape
        grid = self._grid or (N,)
        cosines, mask = self._of(grid)
        with torch.autocast(self._device.type, enabled=False):
            x = tokens
            for side, rows in reversed(list(enumerate(cosines))):
                x = _along(rows, x, B * math.prod(grid[:side]))
            x = x.reshape(B, -1, D) * mask
            for side, rows in enumerate(cosines):
                x = _along(rows.mT, x, B * math.prod(grid[:side]))
        return x.reshape(B, N, D)

    def _tokens(self, N: int) -> slice:
        """The grid's in a stream of N."""
        if N not in self._begins:
            self.place(N)
        begin = self._begins[N]
        return slice(begin, begin + math.prod(self._grid or (N,)))

    def _pieces(self, tokens: Tensor) -> list[slice]:
        B, N, D = tokens.shape
        width = max(1, PIECE_BYTES // max(1, 4 * B * N))
        return [slice(begin, begin + width) for begin in range(0, D, width)]

    def _of(self, grid: tuple[int, ...]) -> tuple[list[Tensor], Tensor]:
        """A grid's sides' cosines [k_i, n_i], and which of them are low [k_1 k_2 .., 1]."""
        if grid not in self._made:
            rows, mask = low_frequencies(grid, self._low_band)
            cosines = [
                moved(cosines_of(side, count), self._device)
                for side, count in zip(grid, rows, strict=True)
            ]
            self._made[grid] = cosines, moved(mask.float().view(-1, 1), self._device)
        return self._made[grid]


def _along(matrix: Tensor, x: Tensor, before: int) -> Tensor:
    """Transform one side of a grid: [K, n] times x, seen as [before, n, rest]."""
    return matrix @ x.reshape(before, matrix.shape[1], -1)


def cosines_of(side: int, count: int) -> Tensor:
    """The first rows of the orthonormal DCT-II. float32 [count, side]"""
    frequency = torch.arange(count, dtype=torch.float64, device="cpu").unsqueeze(1)
    place = torch.arange(side, dtype=torch.float64, device="cpu") + 0.5
    rows = (math.pi / side * frequency * place).cos() * math.sqrt(2 / side)
    rows[0] /= math.sqrt(2)
    return rows.float()


def low_frequencies(grid: Sequence[int], low_band: float) -> tuple[list[int], Tensor]:
    """How many rows of each side hold a low frequency, and which are low. bool [k_1, k_2, ..]"""
    square = torch.zeros(1, dtype=torch.float64, device="cpu")
    for side in grid:
        along = torch.arange(side, dtype=torch.float64, device="cpu") / side
        square = square.unsqueeze(-1) + along**2
    largest = math.hypot(*((side - 1) / side for side in grid))
    low = square[0].sqrt() <= low_band * largest + 1e-12
    counts = [int(low.movedim(i, 0).reshape(side, -1).any(1).sum()) for i, side in enumerate(grid)]
    return counts, low[tuple(map(slice, counts))]
