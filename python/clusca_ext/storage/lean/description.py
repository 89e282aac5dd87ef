"""What a lean cache is asked to be."""

from dataclasses import dataclass

from clusca_ext.checks import flag, integer

BASES = ("auto", "window", "exact", "shared-emb", "gated")
MAX_RANK = 8


@dataclass(frozen=True, kw_only=True)
class LeanStorage:
    """Sums over all modules instead of every module's outputs.

    Of T, one tensor of the stream's size, it keeps a few, where per-block storage keeps
    ``modules * (order + 1)``.

    Attributes:
        basis: How gates that change with time are taken out of the sums.

            - ``"window"``: ``rank`` components of the gates of the steps a full step serves, for
              every row, by their singular value decomposition. ``(order + 1) * rank`` T. Timesteps
              must be known.
            - ``"exact"``: one sum for every coming cached step, as per-block storage would have it,
              up to float32 rounding. ``(order + 1) * (interval - 1)`` T. Timesteps and full steps
              must be known.
            - ``"shared-emb"``: for gates that are a block's own vector plus one all blocks share
              (Wan, PixArt, LTX-Video, FLUX.2). Exact, and nothing must be known.
              ``3 * (order + 1)`` T.
            - ``"gated"``: the gates of the full step. ``order + 1`` T. The last resort.
            - ``"auto"``: ``"window"`` where timesteps and full steps are known, else
              ``"shared-emb"`` where gates are of that form, else ``"gated"``; the summary says
              which, and why.
        rank: Components of ``"window"``; None: one more than the forecaster's order, at least 2;
            ``"auto"``: for every row as many as keep the gates' relative error at 0.02 or below, at
            most 4.
        offload: Keep the sums of full steps in the host's memory: a cached step fetches them piece
            by piece. Not for ``"exact"``, whose sums every full step adds to, nor in a model
            compiled with ``fullgraph=True``.
    """

    basis: str = "auto"
    rank: int | str | None = None
    offload: bool = False

    def __post_init__(self) -> None:
        if self.basis not in BASES:
            raise ValueError(f"basis must be one of {list(BASES)}, got {self.basis!r}")
        if self.rank is not None and self.rank != "auto":
            integer("rank", self.rank, 1, MAX_RANK)
        if self.rank is not None and self.basis not in ("window", "auto"):
            raise ValueError(
                f'rank must be None where basis is not "window" or "auto", got {self.rank!r}'
            )
        flag("offload", self.offload)
        if self.offload and self.basis == "exact":
            raise ValueError(
                'offload must be False with basis="exact", whose sums every full step adds to, '
                "got True"
            )
