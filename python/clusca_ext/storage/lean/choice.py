"""Which basis a run gets, and why."""

from collections.abc import Sequence

from clusca_ext.adapters import ranks
from clusca_ext.executor import BlockExecutor, Segment
from clusca_ext.schedule import ByIndex
from clusca_ext.storage.lean.bases import Basis, Exact, Gated
from clusca_ext.storage.lean.course import Course, Past
from clusca_ext.storage.lean.description import LeanStorage
from clusca_ext.storage.lean.foresight import Foresight, Gates
from clusca_ext.storage.lean.shared import SharedEmb, shares_gates
from clusca_ext.storage.lean.window import Window, WindowOfBound
from clusca_ext.storage.run import Run

Parts = Sequence[tuple[Segment, Sequence[BlockExecutor]]]


def bases_of(
    asked: LeanStorage, run: Run, past: Past, segments: Parts
) -> tuple[list[tuple[int, Basis]], Foresight | None]:
    """The basis of a run, for every group of its tokens from the first token on, and the gates
    these were made from.

    Raises:
        ValueError: The basis asked for needs what this run or model does not have.
    """
    bound = getattr(run.decide, "max_interval", 0)  # of Bounded, or one that adapts
    foresight = _foresee(run, past, bound) if asked.basis in ("auto", "window", "exact") else ""
    if not isinstance(foresight, str) and (isinstance(past, Course) or asked.basis != "exact"):
        rank = rank_of(asked, past.order)

        def basis(gates: Gates) -> Basis:
            if not isinstance(past, Course):
                return WindowOfBound(past, gates, rank, bound)
            return Exact(past, gates) if asked.basis == "exact" else Window(past, gates, rank)

        return [(begin, basis(gates)) for begin, gates in foresight.groups], foresight
    why = foresight if isinstance(foresight, str) else "full steps are not known"
    blocks = [block for _, blocks in segments for block in blocks]
    require(asked.basis, why, blocks)
    if asked.basis != "gated" and shares_gates(blocks):
        return [(0, SharedEmb(past, segments, str(foresight)))], None
    return [(0, Gated(past, str(foresight) or "as asked"))], None


def require(basis: str, why: str, blocks: Sequence[BlockExecutor]) -> None:
    """Raise where a basis cannot be that needs what is not known, or of gates of another form."""
    if basis in ("window", "exact"):
        raise ValueError(
            f"basis={basis!r} needs gates and full steps that are known when a run begins, but "
            f'{why}: give timesteps= to enable_cache, or take basis="shared-emb" or "gated"'
        )
    if basis == "shared-emb" and not shares_gates(blocks):
        raise ValueError(
            'basis="shared-emb" needs gates that are a vector of the block\'s own plus one that '
            "all blocks share, which those of this model are not"
        )


def rank_of(asked: LeanStorage, order: int) -> int | str:
    """Components of ``"window"``."""
    return max(2, order + 1) if asked.rank is None else asked.rank


def course_of(run: Run, past: Past) -> Past:
    """The run's full steps, where they are known; else those that will have been."""
    if isinstance(run.decide, ByIndex) and run.num_steps is not None:
        return Course(run.decide, run.step, run.num_steps, past.forecaster)
    return past


def _foresee(run: Run, past: Past, bound: int) -> Foresight | str:
    """The gates of the run, or why they are of no use."""
    if not isinstance(past, Course) and not bound:
        return "full steps are not known"
    shared = ranks.group_of(run.description.model) is not None
    if shared and run.description.by_token(run.args, run.kwargs):
        return "modulation differs by token, and ranks share them"
    return Foresight.of(run)
