"""Runs a cached step from a model's description: the only code that calls the fused operators.

``module.py`` runs one cached module, ``block.py`` stands in for a block's forward, ``segment.py``
adds what the blocks of a segment update to their stream in one pass at its end.

On a cached step a segment allocates one [B, N, D] tensor, its output; blocks outside of segments
share one, the copy of the first one's input. A stream that comes with channels outside is copied
first. No norm runs over N rows. Only a description that modulates token by token makes more.
Compiled code reads two kinds of things here: Python bools that say which path a step takes, and
tensors. Everything else is decided outside, by the cache.
"""

from clusca_ext.executor.block import BlockExecutor
from clusca_ext.executor.embedder import EmbedderExecutor
from clusca_ext.executor.first_block import FirstBlockExecutor
from clusca_ext.executor.module import Correction, ModuleExecutor
from clusca_ext.executor.segment import Segment

__all__ = [
    "BlockExecutor",
    "Correction",
    "EmbedderExecutor",
    "FirstBlockExecutor",
    "ModuleExecutor",
    "Segment",
]
