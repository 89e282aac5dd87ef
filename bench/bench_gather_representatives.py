"""gather_representatives against indexing, F.layer_norm and addcmul on the gathered rows."""

import torch
import torch.nn.functional as F

from clusca_ext import ops
from inputs import clusters, modulation, nbytes, random_tokens, shared
from peers import spread
from shapes import CLUSTERS, cases

CASES = cases(K=CLUSTERS)


def plain(tokens, representatives, shift, scale):
    rows = spread(tokens, representatives)
    normed = F.layer_norm(rows, rows.shape[-1:], eps=1e-6)
    return rows, torch.addcmul(shift.unsqueeze(1), normed, 1 + scale.unsqueeze(1))


@shared
def arguments(case):
    _, representatives = clusters(case)
    return random_tokens(case), representatives, modulation(case), modulation(case)


def bench_gather_representatives(measure, case):
    tokens, representatives, shift, scale = args = arguments(case)
    row = case.model.D * tokens.element_size()
    moved = 3 * row * representatives.numel() + nbytes(representatives, shift, scale)
    measure(ops.gather_representatives, plain, args, bytes_moved=moved)
