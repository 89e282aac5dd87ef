"""WHEN: which modules of which block are computed at a step, and which are forecast.

``decision.py`` says what a schedule is. ``fixed.py`` has those that know their full steps before a
run; ``masks.py`` the one that is told of every module at which steps it is computed; ``pyramid.py``
computes kinds of modules at paces of their own. The others adapt to what steps show:
``by_change.py`` to what goes in, ``speca.py`` to how well forecasts were, ``adacache.py`` to what
came out.
"""

from clusca_ext.schedule.adacache import CODEBOOK_30, CODEBOOK_100, AdaCacheSchedule
from clusca_ext.schedule.by_change import (
    TEACACHE_POLYNOMIALS,
    TEACACHE_THRESHOLDS,
    FirstBlockSchedule,
    TeaCacheSchedule,
)
from clusca_ext.schedule.decision import (
    Adapting,
    Bounded,
    ByIndex,
    Decision,
    Key,
    Mask,
    Schedule,
    Signal,
    Step,
)
from clusca_ext.schedule.fixed import (
    EvenSchedule,
    ExplicitSchedule,
    IntervalSchedule,
    PlacedSchedule,
)
from clusca_ext.schedule.masks import MaskSchedule
from clusca_ext.schedule.pyramid import PyramidSchedule
from clusca_ext.schedule.speca import SpeCaSchedule
from clusca_ext.schedule.teacache_checkpoints import TEACACHE_CHECKPOINTS, TEACACHE_RETAINED

__all__ = [
    "CODEBOOK_30",
    "CODEBOOK_100",
    "TEACACHE_CHECKPOINTS",
    "TEACACHE_POLYNOMIALS",
    "TEACACHE_RETAINED",
    "TEACACHE_THRESHOLDS",
    "AdaCacheSchedule",
    "Adapting",
    "Bounded",
    "ByIndex",
    "Decision",
    "EvenSchedule",
    "ExplicitSchedule",
    "FirstBlockSchedule",
    "IntervalSchedule",
    "Key",
    "Mask",
    "MaskSchedule",
    "PlacedSchedule",
    "PyramidSchedule",
    "Schedule",
    "Signal",
    "SpeCaSchedule",
    "Step",
    "TeaCacheSchedule",
]
