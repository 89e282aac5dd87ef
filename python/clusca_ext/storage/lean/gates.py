"""The gates of all modules at all steps of a run, where its timesteps are known."""

import torch
from torch import Tensor

from clusca_ext.given import Given
from clusca_ext.plan import ModulationPlan

PIECE_BYTES = 32 * 2**20  # of modulation that is made at once


def gates_of_run(plan: ModulationPlan, steps: range, at: torch.dtype, given: Given) -> Tensor:
    """Gates of the M modules at the S steps, as their blocks would compute them.

    Args:
        plan: Of the run.
        steps: Those of the run.
        at: What the model is given timesteps in.
        given: What else it is given.

    Returns:
        In the gates' dtype, rows apart where they differ; ones where there is no gate.
        [S, 1 or B, M, D]
    """
    made: Tensor | None = None
    done, count = 0, 1  # one step says how many fit into a piece
    while done < len(steps):
        piece = steps[done : done + count]
        modulation = [each for block in plan.modulation(piece, at, given) for each in block]
        gates = [each.gate for each in modulation]
        known = [gate for gate in gates if gate is not None]
        if not known:
            raise ValueError('basis must be "gated" where no module has a gate')
        ones = torch.ones_like(known[0])
        rows = max(gate.shape[1] for gate in known)
        stacked = torch.stack(
            [(ones if gate is None else gate).expand(-1, rows, -1) for gate in gates], dim=2
        )
        if made is None:
            made = stacked.new_empty(len(steps), *stacked.shape[1:])
            tensors = [t for each in modulation for t in each[:3] if t is not None]
            count = max(1, PIECE_BYTES // sum(t.nbytes for t in tensors))
        made[done : done + len(piece)] = stacked
        done += len(piece)
    assert made is not None
    return made
