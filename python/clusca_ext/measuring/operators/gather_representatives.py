"""gather_representatives against indexing, F.layer_norm and addcmul on the gathered rows."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import clusters, modulation, nbytes, random_tokens, shared
from clusca_ext.measuring.peers import spread
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(K=CLUSTERS)


def plain(tokens: Tensor, representatives: Tensor, shift: Tensor, scale: Tensor) -> Any:
    rows = spread(tokens, representatives)
    normed = F.layer_norm(rows, rows.shape[-1:], eps=1e-6)
    return rows, torch.addcmul(shift.unsqueeze(1), normed, 1 + scale.unsqueeze(1))


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    _, representatives = clusters(case)
    return random_tokens(case), representatives, modulation(case), modulation(case)


def work(case: Case) -> Work:
    tokens, representatives, shift, scale = args = arguments(case)
    row = case.model.D * tokens.element_size()
    moved = 3 * row * representatives.numel() + nbytes(representatives, shift, scale)
    return Work(ops.gather_representatives, plain, args, bytes_moved=moved)
