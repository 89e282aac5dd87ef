"""SPACE: which tokens of a cached step are computed, and what others learn from them.

A corrector is a description. Its ``start`` makes of it the choices of one run (``choices.py``):
they look at the tokens of every full step, and say what a cached step computes.

``clusters.py`` clusters tokens, computes one of each cluster and corrects its cluster by it;
``tokens.py`` computes those of highest score (``scores.py``) and corrects them alone; with
``NoCorrection`` nothing of this runs.
"""

from clusca_ext.correction.choices import Choices, Chosen, is_corrected
from clusca_ext.correction.clusters import ClusterCorrector, Clusters
from clusca_ext.correction.corrector import (
    Corrector,
    NoCorrection,
    delta_only,
    require_summable,
)
from clusca_ext.correction.scores import CATScores, ChangeScores, RandomScores, Signals, ToCaScores
from clusca_ext.correction.tokens import TokenCorrector, Tokens

CORRECTION_PARTS = (
    NoCorrection,
    ClusterCorrector,
    TokenCorrector,
    ChangeScores,
    RandomScores,
    ToCaScores,
    CATScores,
)

__all__ = [
    "CORRECTION_PARTS",
    "CATScores",
    "ChangeScores",
    "Choices",
    "Chosen",
    "ClusterCorrector",
    "Clusters",
    "Corrector",
    "NoCorrection",
    "RandomScores",
    "Signals",
    "ToCaScores",
    "TokenCorrector",
    "Tokens",
    "delta_only",
    "is_corrected",
    "require_summable",
]
