"""What a block of a full step says of its gates, where they are not known before."""

from collections.abc import Sequence

import torch

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.executor import BlockExecutor
from clusca_ext.executor.modulation import GATE, of_all, per_token
from clusca_ext.storage.lean.feature import LeanFeature, spread


def weigh_by_gates(
    block: BlockExecutor, features: Sequence[LeanFeature], args: Args, kwargs: Kwargs
) -> None:
    """Outputs are summed behind the gates the block will use: those of the full step."""
    x = block.description.stream(args, kwargs)
    ones = x.new_ones(1, 1, x.shape[2], dtype=torch.float32)
    modulation = block.description.modulation(x, args, kwargs)
    for feature, each in zip(features, modulation, strict=True):
        gate, feature.gate = of_all(each, GATE, x), None
        if gate is not None and per_token(gate).shape[1] > 1:
            gate, feature.gate = None, gate
        rows = ones if gate is None else per_token(gate).transpose(0, 1)
        feature.phi = [spread(rows, len(x))]
