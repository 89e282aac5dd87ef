"""The gates of all modules at all steps of a run, where its timesteps are known."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clusca_ext.adapters.description import Modulation
from clusca_ext.given import Given
from clusca_ext.plan import ModulationPlan

PIECE_BYTES = 32 * 2**20  # of modulation that is made at once


def gates_of_run(plan: ModulationPlan, steps: range, at: torch.dtype, given: Given) -> list[Tensor]:
    """Gates of the M modules at the S steps, as their blocks would compute them.

    Args:
        plan: Of the run.
        steps: Those of the run.
        at: What the model is given timesteps in.
        given: What else it is given.

    Returns:
        For each group of tokens, in the gates' dtype, rows apart where they differ; ones where
        there is no gate. [S, 1 or B, M, D]
    """
    made: list[Tensor] = []
    done, count = 0, 1  # one step says how many fit into a piece
    while done < len(steps):
        piece = steps[done : done + count]
        groups = plan.modulation_of_groups(piece, at, given)
        stacked = [_stacked([each for block in blocks for each in block]) for blocks in groups]
        if not made:
            made = [each.new_empty(len(steps), *each.shape[1:]) for each in stacked]
            modulation = (each for blocks in groups for block in blocks for each in block)
            tensors = [t for each in modulation for t in each[:3] if t is not None]
            count = max(1, PIECE_BYTES // sum(t.nbytes for t in tensors))
        for gates, part in zip(made, stacked, strict=True):
            gates[done : done + len(piece)] = part
        done += len(piece)
    return made


def _stacked(modulation: Sequence[Modulation]) -> Tensor:
    """The gates of M modules, each [S, 1 or B, D]: [S, 1 or B, M, D]"""
    gates = [each.gate for each in modulation]
    known = [gate for gate in gates if gate is not None]
    if not known:
        raise ValueError('basis must be "gated" where no module has a gate')
    ones = torch.ones_like(known[0])
    rows = max(gate.shape[1] for gate in known)
    return torch.stack(
        [(ones if gate is None else gate).expand(-1, rows, -1) for gate in gates], dim=2
    )
