"""Searched placement: which steps of a run are full, found by trying.

Slow to import, as diffusers is: ``from clusca_ext.search import find_placement``.
"""

from clusca_ext.search.draws import Draw, ModelDraw, PipelineDraw
from clusca_ext.search.placement import Placement
from clusca_ext.search.search import find_placement
from clusca_ext.search.settings import SearchSettings

__all__ = [
    "Draw",
    "ModelDraw",
    "PipelineDraw",
    "Placement",
    "SearchSettings",
    "find_placement",
]
