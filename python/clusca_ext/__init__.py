"""ClusCa for PyTorch: fused operators and a cache that make diffusion transformers faster."""

from clusca_ext import _library as _library  # the operators must exist before they are wrapped
from clusca_ext import ops, reference
from clusca_ext.adapters import BlockAdapter, register_adapter, supported
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import (
    CATScores,
    ChangeScores,
    ClusterCorrector,
    NoCorrection,
    RandomScores,
    ToCaScores,
    TokenCorrector,
)
from clusca_ext.correction.selection import GivenTokens, Nearest, RandomPerLayer, RandomPerStep
from clusca_ext.enable import cache, disable_cache, enable_cache, reset, summary
from clusca_ext.estimate import Memory, estimate_memory
from clusca_ext.forecast import (
    DampedForecaster,
    FrequencyForecaster,
    HermiteForecaster,
    NewtonForecaster,
    ReuseForecaster,
    SpacedHermiteForecaster,
    TaylorForecaster,
)
from clusca_ext.info import build_info
from clusca_ext.info import version as _version
from clusca_ext.methods import method
from clusca_ext.schedule import (
    AdaCacheSchedule,
    EvenSchedule,
    ExplicitSchedule,
    FirstBlockSchedule,
    IntervalSchedule,
    MaskSchedule,
    PlacedSchedule,
    PyramidSchedule,
    SpeCaSchedule,
    TeaCacheSchedule,
)
from clusca_ext.storage.lean.description import LeanStorage
from clusca_ext.summary import Summary

__version__ = _version()

__all__ = [
    "AdaCacheSchedule",
    "BlockAdapter",
    "CATScores",
    "ChangeScores",
    "ClusCaConfig",
    "ClusterCorrector",
    "DampedForecaster",
    "EvenSchedule",
    "ExplicitSchedule",
    "FirstBlockSchedule",
    "FrequencyForecaster",
    "GivenTokens",
    "HermiteForecaster",
    "IntervalSchedule",
    "LeanStorage",
    "MaskSchedule",
    "Memory",
    "Nearest",
    "NewtonForecaster",
    "NoCorrection",
    "PlacedSchedule",
    "PyramidSchedule",
    "RandomPerLayer",
    "RandomPerStep",
    "RandomScores",
    "ReuseForecaster",
    "SpacedHermiteForecaster",
    "SpeCaSchedule",
    "Summary",
    "TaylorForecaster",
    "TeaCacheSchedule",
    "ToCaScores",
    "TokenCorrector",
    "build_info",
    "cache",
    "disable_cache",
    "enable_cache",
    "estimate_memory",
    "method",
    "ops",
    "reference",
    "register_adapter",
    "reset",
    "summary",
    "supported",
]
